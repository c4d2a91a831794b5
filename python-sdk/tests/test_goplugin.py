"""The generic layer: go-plugin's protocol for plugins of any `.proto`, against real processes and real gRPC."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Callable

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import empty_pb2

from mattermost_plugin._generated.grpc.health.v1 import health_pb2
from mattermost_plugin._generated.plugin import grpc_broker_pb2, grpc_stdio_pb2
from mattermost_plugin.goplugin import BrokerError, GRPCBroker, broker, listener, tls
from mattermost_plugin.goplugin.stdio import Stdio

from .conftest import IDLE, LIMIT, RunningPlugin, StartPlugin, code_of

PLUGIN = """
    import logging
    from mattermost_plugin import goplugin, logs

    HANDSHAKE = goplugin.HandshakeConfig("MATTERMOST_PLUGIN", "Securely message teams, anywhere.")

    async def main():
        await goplugin.serve(HANDSHAKE, {1: lambda server, broker: None})

    goplugin.run(main())
"""

ANNOUNCED = grpc_broker_pb2.ConnInfo


def pem(curve: ec.EllipticCurve) -> tuple[bytes, bytes]:
    """A host's key and certificate."""
    return tls.mint(curve)


def check(channel: grpc.Channel) -> int:
    """The plugin's health."""
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    status: int = call(health_pb2.HealthCheckRequest(service="plugin"), timeout=LIMIT).status
    return status


def certificate_of(plugin: RunningPlugin) -> bytes:
    """The certificate in the handshake, as PEM."""
    field = plugin.handshake.strip().split("|")[5]
    assert "=" not in field
    return ssl.DER_cert_to_PEM_cert(base64.b64decode(field + "=" * (-len(field) % 4))).encode()


def secure(plugin: RunningPlugin, key: bytes | None, certificate: bytes | None) -> grpc.Channel:
    """A connection of a host that trusts the plugin's certificate, and shows one."""
    credentials = grpc.ssl_channel_credentials(certificate_of(plugin), key, certificate)
    return grpc.secure_channel(f"unix:{plugin.address}", credentials, [("grpc.ssl_target_name_override", "localhost")])


# -- handshake ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [PLUGIN, IDLE], ids=["generic", "hooks"])
def test_every_plugin_has_the_services(start_plugin: StartPlugin, source: str) -> None:
    plugin = start_plugin(source)
    assert check(plugin.channel) == health_pb2.HealthCheckResponse.SERVING
    plugin.shut_down()
    assert plugin.wait(2) == 0
    assert not os.path.exists(plugin.address)


def test_without_its_cookie_it_says_what_it_is(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN, cookie="something else")
    assert (plugin.wait(), plugin.handshake) == (1, "")
    assert "This binary is a plugin" in plugin.log()


@pytest.mark.parametrize("given", ['"", "value"', '"KEY", ""'])
def test_a_plugin_needs_a_cookie_of_its_own(start_plugin: StartPlugin, given: str) -> None:
    mine = '"MATTERMOST_PLUGIN", "Securely message teams, anywhere."'
    plugin = start_plugin(PLUGIN.replace(mine, given), KEY="")
    assert (plugin.wait(), plugin.handshake) == (1, "")
    assert "it has no magic cookie key and value" in plugin.log()


# -- TLS ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: str(curve.name))
@pytest.mark.parametrize("source", [PLUGIN, IDLE], ids=["generic", "hooks"])
def test_tls_lets_the_host_in_and_nobody_else(start_plugin: StartPlugin, source: str, curve: ec.EllipticCurve) -> None:
    key, certificate = pem(curve)
    plugin = start_plugin(source, PLUGIN_CLIENT_CERT=certificate.decode())
    with secure(plugin, key, certificate) as host:
        assert check(host) == health_pb2.HealthCheckResponse.SERVING
    for stranger in (secure(plugin, None, None), secure(plugin, *pem(curve)), plugin.channel):
        with stranger, pytest.raises(grpc.RpcError) as caught:
            check(stranger)
        error: Any = caught.value
        assert error.code() == grpc.StatusCode.UNAVAILABLE


def openssl_first_byte(plugin: RunningPlugin, key: bytes, certificate: bytes, folder: Path) -> bytes:
    """What the server says first to a client on OpenSSL, as Go's is like: nothing, if it does not let it in."""
    pair = folder / "pair.pem"
    pair.write_bytes(key + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate_of(plugin).decode())
    context.load_cert_chain(pair)
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
    key, certificate = pem(ec.SECP521R1())
    plugin = start_plugin(PLUGIN, PLUGIN_CLIENT_CERT=certificate.decode())
    assert openssl_first_byte(plugin, key, certificate, tmp_path) != b""
    assert openssl_first_byte(plugin, *pem(ec.SECP521R1()), tmp_path) == b"", "another's key is not let in"
    plugin.process.terminate()
    assert plugin.wait(2) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pair.pem", "plugin.py", "stderr0"]


def test_the_certificate_is_as_go_plugins_are(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN, PLUGIN_CLIENT_CERT=pem(ec.SECP256R1())[1].decode())
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
    plugin = start_plugin(PLUGIN, PLUGIN_CLIENT_CERT=pem(ec.SECP256R1())[1].decode())
    assert (plugin.wait(), plugin.handshake) == (1, "")
    assert "pip install 'effect-plugin-supervisor-sdk[tls]'" in plugin.log()


def test_a_p521_key_without_unix_sockets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUGIN_CLIENT_CERT", pem(ec.SECP521R1())[1].decode())
    with pytest.raises(SystemExit, match="can't verify, and without unix sockets"):
        tls.session_tls(unix_sockets=False)


# -- listening on TCP -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
def without_unix_sockets(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """As on Windows, with a range of ports."""

    def ports(low: str, high: str) -> None:
        monkeypatch.setattr(listener, "has_unix_sockets", lambda: False)
        monkeypatch.setenv("PLUGIN_MIN_PORT", low)
        monkeypatch.setenv("PLUGIN_MAX_PORT", high)

    return ports


def listen() -> tuple[str, str]:
    """Listens for a moment; answers where."""

    async def main() -> tuple[str, str]:
        async with listener.listening(listener.make_server(), None) as found:
            return found

    return asyncio.run(main())


def test_tcp_takes_a_port_of_the_range(without_unix_sockets: Callable[[str, str], None]) -> None:
    with taken_port() as taken:
        without_unix_sockets(str(taken), str(taken + 20))
        network, address = listen()
    host, port = address.split(":")
    assert (network, host) == ("tcp", "127.0.0.1")
    assert taken < int(port) <= taken + 20


@pytest.mark.parametrize("unset", ["0", ""])
def test_tcp_without_a_range_takes_any(without_unix_sockets: Callable[[str, str], None], unset: str) -> None:
    without_unix_sockets(unset, unset)
    assert int(listen()[1].split(":")[1]) > 0


def test_tcp_ports_that_are_none(without_unix_sockets: Callable[[str, str], None]) -> None:
    for low, high, message in [("2000", "1000", "more than PLUGIN_MAX_PORT"), ("x", "9", "which is no port")]:
        without_unix_sockets(low, high)
        with pytest.raises(SystemExit, match=message):
            listen()
    with taken_port() as taken:
        without_unix_sockets(str(taken), str(taken))
        with pytest.raises(SystemExit, match=f"no port from {taken} to {taken} is free"):
            listen()


# -- stdio ----------------------------------------------------------------------------------------------------------

PRINTING = """
    import logging
    from mattermost_plugin import goplugin, logs

    HANDSHAKE = goplugin.HandshakeConfig("MATTERMOST_PLUGIN", "Securely message teams, anywhere.")

    async def main():
        async def prints():
            while not os.path.exists("go"):
                await asyncio.sleep(0.01)
            {body}
            open("printed", "w").close()

        task = asyncio.ensure_future(prints())
        await goplugin.serve(HANDSHAKE, {{1: lambda server, broker: None}})

    goplugin.run(main())
"""


def streamed(plugin: RunningPlugin) -> Any:
    """Opens the stream of what the plugin prints."""
    call = plugin.channel.unary_stream(
        "/plugin.GRPCStdio/StreamStdio",
        request_serializer=empty_pb2.Empty.SerializeToString,
        response_deserializer=grpc_stdio_pb2.StdioData.FromString,
    )
    return call(empty_pb2.Empty(), timeout=LIMIT)


def go(folder: Path) -> None:
    """Lets the plugin print, and waits until it has."""
    (folder / "go").touch()
    end = time.monotonic() + LIMIT
    while not (folder / "printed").exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_stdio_is_byte_for_byte_and_whole(start_plugin: StartPlugin, tmp_path: Path) -> None:
    body = 'print("out"); sys.stdout.buffer.write(b"\\xff\\r\\n" + b"x" * 5000); sys.stderr.write("err")'
    plugin = start_plugin(PRINTING.format(body=body))
    stream = streamed(plugin)
    go(tmp_path)
    plugin.shut_down()
    chunks = list(stream)
    assert plugin.wait(2) == 0
    assert max(len(chunk.data) for chunk in chunks) == 1024
    by_channel = {
        channel: b"".join(chunk.data for chunk in chunks if chunk.channel == channel)
        for channel in (grpc_stdio_pb2.StdioData.STDOUT, grpc_stdio_pb2.StdioData.STDERR)
    }
    assert list(by_channel.values()) == [b"out\n\xff\r\n" + b"x" * 5000, b"err"]


def test_stdio_that_nobody_reads_blocks_nobody_and_is_bounded(start_plugin: StartPlugin, tmp_path: Path) -> None:
    plugin = start_plugin(PRINTING.format(body='[print("y" * 999) for _ in range(1000)]'))
    go(tmp_path)
    plugin.wait_for_log("the host does not read what the plugin prints: some of it is lost")
    stream = streamed(plugin)
    plugin.shut_down()
    assert sum(len(chunk.data) for chunk in stream) == 65 * 1000
    assert plugin.log().count("is lost") == 1


def test_stdio_has_one_reader(start_plugin: StartPlugin, tmp_path: Path) -> None:
    plugin = start_plugin(PRINTING.format(body='print("for the first")'))
    first = streamed(plugin)
    go(tmp_path)
    assert next(first).data == b"for the first\n"
    code, details = code_of(lambda: next(streamed(plugin)))
    assert (code, details) == (grpc.StatusCode.FAILED_PRECONDITION, "the plugin's output is being read already")


def test_stdio_survives_its_loop() -> None:
    async def main() -> Stdio:
        return Stdio(asyncio.get_running_loop())

    writer = asyncio.run(main()).writer(grpc_stdio_pb2.StdioData.STDOUT)
    print("after the end", file=writer)
    assert writer.fileno() == 1


# -- broker ---------------------------------------------------------------------------------------------------------


class Host:
    """The host's end of a broker's stream, in this process."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[ANNOUNCED] = asyncio.Queue()
        self._announced: asyncio.Queue[ANNOUNCED] = asyncio.Queue()

    def announce(self, **fields: Any) -> None:
        """Says where something is served."""
        self._announced.put_nowait(ANNOUNCED(**fields))

    async def incoming(self) -> AsyncIterator[ANNOUNCED]:
        """What the plugin receives."""
        while True:
            yield await self._announced.get()

    async def write(self, message: ANNOUNCED) -> None:
        """What the plugin sends."""
        await self.sent.put(message)


@contextlib.asynccontextmanager
async def brokered(session: tls.SessionTLS | None = None) -> AsyncIterator[tuple[GRPCBroker, Host]]:
    """A broker and its host."""
    plugin, host = GRPCBroker(session), Host()
    stream = asyncio.ensure_future(plugin.start_stream(host.incoming(), host))
    await asyncio.sleep(0)
    yield plugin, host
    await plugin.close()
    await asyncio.wait_for(stream, LIMIT)


def health_service(server: grpc.aio.Server) -> None:
    """Something to serve: health, of which everything is well."""

    async def well(request: Any, context: Any) -> Any:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    handler = grpc.unary_unary_rpc_method_handler(
        well, health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})])


async def check_async(channel: grpc.aio.Channel) -> int:
    """The health of what is served."""
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    status: int = (await call(health_pb2.HealthCheckRequest(), timeout=LIMIT)).status
    return status


@pytest.fixture
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for the broker's sockets."""
    monkeypatch.setenv("PLUGIN_UNIX_SOCKET_DIR", str(tmp_path))
    return tmp_path


def session(curve: ec.EllipticCurve) -> tls.SessionTLS:
    """A session whose host has the same certificate as the plugin: each side can then play the other."""
    key, certificate = tls.mint(curve)
    return tls.SessionTLS(certificate, key, certificate, relayed=isinstance(curve, ec.SECP521R1))


@pytest.mark.parametrize(
    "given", [None, session(ec.SECP256R1()), session(ec.SECP521R1())], ids=["in the clear", "tls", "relayed tls"]
)
def test_broker_serves_and_connects(sockets: Path, given: tls.SessionTLS | None) -> None:
    async def main() -> None:
        async with brokered(given) as (plugin, host):
            assert [plugin.next_id(), plugin.next_id()] == [1, 2]
            serving = asyncio.ensure_future(plugin.accept_and_serve(1, health_service))
            said = await asyncio.wait_for(host.sent.get(), LIMIT)
            assert (said.service_id, said.network) == (1, "unix")
            # The same announcement as the host's own: the plugin connects to itself.
            host.announce(service_id=7, network=said.network, address=said.address)
            async with await plugin.dial(7) as channel:
                assert await check_async(channel) == health_pb2.HealthCheckResponse.SERVING
        await asyncio.wait_for(serving, LIMIT)

    asyncio.run(main())
    assert list(sockets.iterdir()) == []


def test_broker_waits_for_an_announcement_and_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "BROKER_TIMEOUT", 0.1)

    async def main() -> None:
        async with brokered() as (plugin, host):
            with pytest.raises(BrokerError, match="timeout waiting for connection info of id 7"):
                await plugin.dial(7)
            waiting = asyncio.ensure_future(plugin.dial(8))
            await asyncio.sleep(0.01)
            host.announce(service_id=8, network="unix", address="/first")
            host.announce(service_id=8, network="unix", address="/second")
            await (await waiting).close()
            # It was good for one connection; the second of its name came while the first was pending, and is dropped.
            with pytest.raises(BrokerError, match="timeout"):
                await plugin.dial(8)
            host.announce(service_id=9, network="unix", address="/forgotten")
            await asyncio.sleep(0.2)
            with pytest.raises(BrokerError, match="timeout"):
                await plugin.dial(9)

    asyncio.run(main())


def test_broker_tells_everybody_when_it_closes() -> None:
    async def main() -> None:
        async with brokered() as (plugin, _):
            waiting = asyncio.ensure_future(plugin.dial(7))
            await asyncio.sleep(0.01)
            await plugin.close()
            with pytest.raises(BrokerError, match="closed"):
                await waiting
            with pytest.raises(BrokerError, match="closed"):
                await plugin.dial(7)
            with pytest.raises(BrokerError, match="closed"):
                await plugin.accept_and_serve(1, health_service)

    asyncio.run(main())


def test_broker_has_one_host(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN)
    call = plugin.channel.stream_stream(
        "/plugin.GRPCBroker/StartStream",
        request_serializer=ANNOUNCED.SerializeToString,
        response_deserializer=ANNOUNCED.FromString,
    )

    def silent() -> Iterator[Any]:
        time.sleep(LIMIT)
        yield from ()

    first = call(silent(), timeout=LIMIT)
    assert check(plugin.channel) == health_pb2.HealthCheckResponse.SERVING
    code, details = code_of(lambda: next(call(silent(), timeout=LIMIT)))
    assert (code, details) == (grpc.StatusCode.FAILED_PRECONDITION, "the broker has its host already")
    first.cancel()


# -- test mode ------------------------------------------------------------------------------------------------------

TEST_MODE = """
    from mattermost_plugin import goplugin

    HANDSHAKE = goplugin.HandshakeConfig("NO_SUCH_COOKIE", "value")

    async def main():
        await goplugin.serve(
            HANDSHAKE,
            {3: lambda server, broker: None},
            on_reattach=lambda config: print(json.dumps(config), flush=True),
        )

    goplugin.run(main())
"""


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_test_mode_needs_no_host(start_plugin: StartPlugin, stop: signal.Signals) -> None:
    header = "import os; os.environ.pop('PLUGIN_PROTOCOL_VERSIONS'); import asyncio, json\n"
    plugin = start_plugin(TEST_MODE, header=header)
    config = json.loads(plugin.handshake)
    assert config == {
        "Protocol": "grpc",
        "ProtocolVersion": 3,
        "Pid": plugin.process.pid,
        "Test": True,
        "Addr": {"Network": "unix", "String": config["Addr"]["String"]},
    }
    with grpc.insecure_channel(f"unix:{config['Addr']['String']}") as channel:
        assert check(channel) == health_pb2.HealthCheckResponse.SERVING
    plugin.process.send_signal(stop)
    assert plugin.wait(2) == 0


def test_the_layer_knows_nothing_of_hooks() -> None:
    folder = Path(sys.modules[listener.__name__].__file__ or "").parent
    for file in folder.glob("*.py"):
        assert "hook" not in file.read_text().replace("it knows nothing of hooks", "").lower(), file.name
