"""AutoMTLS: whom a plugin lets in, and what it says where it can't."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from effect_plugin.goplugin import tls

from .conftest import IDLE, LIMIT, RunningPlugin, StartPlugin
from .goplugin import PLUGIN, certificate_of, check, secure
from .wire import HealthCheckResponse


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: str(curve.name))
@pytest.mark.parametrize("source", [PLUGIN, IDLE], ids=["generic", "hooks"])
def test_tls_lets_the_host_in_and_nobody_else(start_plugin: StartPlugin, source: str, curve: ec.EllipticCurve) -> None:
    key, certificate = tls.mint(curve)
    plugin = start_plugin(source, PLUGIN_CLIENT_CERT=certificate.decode())
    with secure(plugin, key, certificate) as host:
        assert check(host) == HealthCheckResponse.SERVING
    for stranger in (secure(plugin, None, None), secure(plugin, *tls.mint(curve)), plugin.channel):
        with stranger, pytest.raises(grpc.RpcError) as caught:
            check(stranger)
        error: Any = caught.value
        assert error.code() == grpc.StatusCode.UNAVAILABLE


def openssl_first_byte(plugin: RunningPlugin, pair: bytes, folder: Path) -> bytes:
    """What the server says first to a client on OpenSSL, as Go's is like: nothing, if it does not let it in."""
    file = folder / "pair.pem"
    file.write_bytes(pair)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate_of(plugin).decode())
    if pair:
        context.load_cert_chain(file)
    context.set_alpn_protocols(["h2"])
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT)
        connection.connect(plugin.address)
        with context.wrap_socket(connection, server_hostname="localhost") as wrapped:
            assert wrapped.selected_alpn_protocol() == "h2"
            try:
                wrapped.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
                return wrapped.recv(1)
            except OSError:
                return b""


def test_tls_with_the_p521_key_of_a_go_host(start_plugin: StartPlugin, tmp_path: Path) -> None:
    key, certificate = tls.mint(ec.SECP521R1())
    plugin = start_plugin(PLUGIN, PLUGIN_CLIENT_CERT=certificate.decode())
    assert openssl_first_byte(plugin, key + certificate, tmp_path) != b""
    another = b"".join(tls.mint(ec.SECP521R1()))
    assert openssl_first_byte(plugin, another, tmp_path) == b"", "another's key is not let in"
    assert openssl_first_byte(plugin, b"", tmp_path) == b"", "nor is who has none"
    plugin.process.terminate()
    assert plugin.wait() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pair.pem", "plugin.py", "stderr0"]


def test_the_relays_socket_is_where_the_plugins_is(start_plugin: StartPlugin, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    _, certificate = tls.mint(ec.SECP521R1())
    start_plugin(PLUGIN, PLUGIN_CLIENT_CERT=certificate.decode(), PLUGIN_UNIX_SOCKET_DIR="", TMPDIR=str(folder))
    assert len(list(folder.iterdir())) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plugin.py", "stderr0", "temporary"]


def test_the_certificate_is_as_go_plugins_are(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN, PLUGIN_CLIENT_CERT=tls.mint(ec.SECP256R1())[1].decode())
    certificate = x509.load_pem_x509_certificate(certificate_of(plugin))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert len(list(usages)) == 2
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize(
    "given", ["-----BEGIN", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_a_certificate_that_is_none(start_plugin: StartPlugin, given: str) -> None:
    plugin = start_plugin(PLUGIN, PLUGIN_CLIENT_CERT=given)
    assert (plugin.wait(), plugin.handshake) == (1, "")
    assert "PLUGIN_CLIENT_CERT is no certificate in PEM" in plugin.log()


def test_tls_without_its_library_names_the_extra(start_plugin: StartPlugin, tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ImportError('there is none')")
    plugin = start_plugin(PLUGIN, PLUGIN_CLIENT_CERT=tls.mint(ec.SECP256R1())[1].decode())
    assert (plugin.wait(), plugin.handshake) == (1, "")
    assert "pip install 'effect-plugin-supervisor-sdk[tls]'" in plugin.log()


def test_a_p521_key_without_unix_sockets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUGIN_CLIENT_CERT", tls.mint(ec.SECP521R1())[1].decode())
    with pytest.raises(SystemExit, match="can't verify, and without unix sockets"):
        tls.session_tls(unix_sockets=False)
