"""AutoMTLS: host and plugin make a certificate each for one start, and trust no other (go-plugin 1.8, `mtls.go`)."""

from __future__ import annotations

import base64
import datetime
import os
import ssl
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

#: The slack for clocks that differ, and the life of a certificate: go-plugin's own.
_NOT_BEFORE = datetime.timedelta(seconds=30)
_NOT_AFTER = datetime.timedelta(hours=262_980)

#: The name in every certificate, wherever its owner listens.
NAME = "localhost"

_NO_LIBRARY = (
    "the host asks for TLS (AutoMTLS), which needs the package cryptography: "
    "pip install 'effect-plugin-supervisor-sdk[tls]', or turn AutoMTLS off for this plugin"
)

_NOT_A_CERTIFICATE = "the host asks for TLS (AutoMTLS), but PLUGIN_CLIENT_CERT is no certificate in PEM: {}"

_P521_NEEDS_UNIX_SOCKETS = (
    "the host's certificate has a P-521 key, as go-plugin's own hosts make it, which grpcio's TLS (BoringSSL) can't "
    "verify, and without unix sockets there is no way around it. Use a host whose key is P-256 or P-384, or turn "
    "AutoMTLS off for this plugin"
)


@dataclass(frozen=True)
class SessionTLS:
    """Both sides' certificates, as PEM; the same for the plugin's server and for every brokered connection."""

    certificate: bytes
    key: bytes
    host_certificate: bytes
    #: Whether grpcio can't verify the host's key: Python's own TLS (OpenSSL) then does it, see `relay`.
    relayed: bool

    def handshake_field(self) -> str:
        """The certificate as the handshake line has it: base64 of the DER, without padding, which Go refuses."""
        der = ssl.PEM_cert_to_DER_cert(self.certificate.decode())
        return base64.b64encode(der).decode().rstrip("=")

    def server_credentials(self) -> grpc.ServerCredentials:
        """For a server of this side: only the host is let in."""
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], root_certificates=self.host_certificate, require_client_auth=True
        )

    def channel(self, target: str, options: list[tuple[str, Any]]) -> grpc.aio.Channel:
        """A connection to a server of the host's."""
        credentials = grpc.ssl_channel_credentials(self.host_certificate, self.key, self.certificate)
        return grpc.aio.secure_channel(target, credentials, [*options, ("grpc.ssl_target_name_override", NAME)])

    def context(self, protocol: ssl._SSLMethod) -> ssl.SSLContext:
        """The same for Python's own TLS: as a server's or a client's, HTTP/2 and the host's certificate alone."""
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.host_certificate.decode())
        context.set_alpn_protocols(["h2"])
        import tempfile

        # It reads files only; this one is nobody else's, and gone at once.
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.key + self.certificate)
            file.flush()
            context.load_cert_chain(file.name)
        return context


def session_tls(*, unix_sockets: bool) -> SessionTLS | None:
    """What the host asks for, if it asks for TLS. Ends the process with a message where that can't be had."""
    given = os.environ.get("PLUGIN_CLIENT_CERT")
    if not given:
        return None
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        sys.exit(_NO_LIBRARY)
    try:
        host_key = x509.load_pem_x509_certificate(given.encode()).public_key()
    except ValueError as error:
        sys.exit(_NOT_A_CERTIFICATE.format(error))
    # BoringSSL, which PyPI's grpcio is built with, offers no signature that such a key makes.
    p521 = isinstance(host_key, ec.EllipticCurvePublicKey) and isinstance(host_key.curve, ec.SECP521R1)
    if p521 and not unix_sockets:
        sys.exit(_P521_NEEDS_UNIX_SOCKETS)
    key, certificate = mint(ec.SECP256R1())
    return SessionTLS(certificate=certificate, key=key, host_certificate=given.encode(), relayed=p521)


def mint(curve: ec.EllipticCurve) -> tuple[bytes, bytes]:
    """A new key and its self-signed certificate, with all that go-plugin's have: one serves as client and as server."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(curve)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.timezone.utc)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=True,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _NOT_BEFORE)
        .not_valid_after(now + _NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(encoding)
