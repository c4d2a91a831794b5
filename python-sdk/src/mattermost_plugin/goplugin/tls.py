"""AutoMTLS: host and plugin make a certificate each for one start, and trust no other (go-plugin 1.8, `mtls.go`)."""

from __future__ import annotations

import base64
import datetime
import os
import socket
import ssl
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

#: The slack for clocks that differ, and the life of a certificate: go-plugin's own.
_NOT_BEFORE = datetime.timedelta(seconds=30)
_NOT_AFTER = datetime.timedelta(hours=262_980)

#: Seconds the trial handshake may take; it is a matter of milliseconds.
_TRIAL_LIMIT = 5.0

#: The name in every certificate, wherever its owner listens.
_NAME = "localhost"

_NO_LIBRARY = (
    "the host asks for TLS (AutoMTLS), which needs the package cryptography: "
    "pip install 'effect-plugin-supervisor-sdk[tls]', or turn AutoMTLS off for this plugin"
)

_NOT_A_CERTIFICATE = "the host asks for TLS (AutoMTLS), but PLUGIN_CLIENT_CERT is no certificate in PEM: {}"

_P521 = (
    "the host's certificate has a P-521 key, as go-plugin's own hosts make it, and the TLS of this grpcio (BoringSSL, "
    "in the wheels of PyPI) can't verify one. Use a host whose key is P-256 or P-384, turn AutoMTLS off for this "
    "plugin, or install a grpcio that is built with OpenSSL"
)


@dataclass(frozen=True)
class SessionTLS:
    """Both sides' certificates; the same for the plugin's server and for every brokered connection. All are PEM."""

    certificate: bytes
    key: bytes
    host_certificate: bytes

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
        return grpc.aio.secure_channel(target, credentials, [*options, ("grpc.ssl_target_name_override", _NAME)])


def session_tls() -> SessionTLS | None:
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
    p521 = isinstance(host_key, ec.EllipticCurvePublicKey) and isinstance(host_key.curve, ec.SECP521R1)
    if p521 and not _verifies_p521():
        sys.exit(_P521)
    key, certificate = mint(ec.SECP256R1())
    return SessionTLS(certificate=certificate, key=key, host_certificate=given.encode())


def mint(curve: ec.EllipticCurve) -> tuple[bytes, bytes]:
    """A new key and its self-signed certificate, with all that go-plugin's have: one serves as client and as server."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(curve)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
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
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(encoding)


def _verifies_p521() -> bool:
    """Whether this grpcio lets in a client with a P-521 key: tried out, for nothing tells which TLS it was built with.

    A throwaway server trusts a throwaway certificate, and Python's own TLS, which is OpenSSL, is the client. TLS 1.3
    tells a client that it was refused only after its handshake: a first byte of HTTP/2 means that it was let in.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    client_key, client_certificate = mint(ec.SECP521R1())
    key, certificate = mint(ec.SECP256R1())
    server = grpc.server(ThreadPoolExecutor(1))
    with tempfile.TemporaryDirectory(dir=os.environ.get("PLUGIN_UNIX_SOCKET_DIR")) as folder:
        credentials = SessionTLS(certificate, key, client_certificate).server_credentials()
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            pair = os.path.join(folder, "client.pem")
            with open(os.open(pair, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                file.write(client_key + client_certificate)
            context = ssl.create_default_context(cadata=certificate.decode())
            context.load_cert_chain(pair)
            context.set_alpn_protocols(["h2"])
            connection = socket.create_connection(("127.0.0.1", port), _TRIAL_LIMIT)
            with context.wrap_socket(connection, server_hostname=_NAME) as tls:
                return tls.recv(1) != b""
        except OSError:
            return False
        finally:
            server.stop(None)
