"""Servers of either side's besides the plugin's own, over real gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from effect_plugin.goplugin import BrokerError, GRPCBroker, broker, relay, tls

from .conftest import LIMIT, StartPlugin, code_of
from .goplugin import PLUGIN, check, listen_on_tcp
from .wire import ConnInfo, HealthCheckRequest, HealthCheckResponse

_T = TypeVar("_T")


class Host:
    """The host's end of a broker's stream, in this process."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[ConnInfo] = asyncio.Queue()
        self._announced: asyncio.Queue[ConnInfo | None] = asyncio.Queue()

    def announce(self, **fields: Any) -> None:
        """Says where something is served."""
        self._announced.put_nowait(ConnInfo(**fields))

    def hang_up(self) -> None:
        """Ends the stream."""
        self._announced.put_nowait(None)

    async def incoming(self) -> AsyncIterator[ConnInfo]:
        """What the plugin receives."""
        while (message := await self._announced.get()) is not None:
            yield message

    async def write(self, message: ConnInfo) -> None:
        """What the plugin sends."""
        await self.sent.put(message)


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Runs a test, which takes less than twice the limit."""
    return asyncio.run(asyncio.wait_for(main, 2 * LIMIT))


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
        return HealthCheckResponse(status=HealthCheckResponse.SERVING)

    handler = grpc.unary_unary_rpc_method_handler(
        well, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})])


async def check_async(channel: grpc.aio.Channel) -> int:
    """The health of what is served."""
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    status: int = (await call(HealthCheckRequest(), timeout=LIMIT)).status
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


KINDS = {"in the clear": None, "tls": session(ec.SECP256R1()), "relayed tls": session(ec.SECP521R1())}


@pytest.mark.parametrize(
    ("kind", "network"),
    [("in the clear", "unix"), ("tls", "unix"), ("relayed tls", "unix"), ("in the clear", "tcp"), ("tls", "tcp")],
)
def test_broker_serves_and_connects(sockets: Path, monkeypatch: pytest.MonkeyPatch, kind: str, network: str) -> None:
    if network == "tcp":
        listen_on_tcp(monkeypatch)

    async def main() -> None:
        async with brokered(KINDS[kind]) as (plugin, host):
            assert [plugin.next_id(), plugin.next_id()] == [1, 2]
            serving = asyncio.ensure_future(plugin.accept_and_serve(1, health_service))
            said = await asyncio.wait_for(host.sent.get(), LIMIT)
            assert (said.service_id, said.network) == (1, network)
            # The same announcement as the host's own: the plugin connects to itself.
            host.announce(service_id=7, network=said.network, address=said.address)
            async with await plugin.dial(7) as channel:
                assert await check_async(channel) == HealthCheckResponse.SERVING
        await asyncio.wait_for(serving, LIMIT)

    run(main())
    assert list(sockets.iterdir()) == []


def test_broker_lets_nobody_in_but_the_host(sockets: Path) -> None:
    async def main() -> None:
        async with brokered(session(ec.SECP256R1())) as (plugin, host), plugin.serve(1, health_service):
            said = await asyncio.wait_for(host.sent.get(), LIMIT)
            for stranger in (grpc.aio.insecure_channel, session(ec.SECP256R1()).channel):
                async with stranger(f"unix:{said.address}", []) as channel:
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await check_async(channel)
                    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_broker_ends_a_server_with_its_block_or_its_own_end(sockets: Path, kind: str) -> None:
    async def main() -> None:
        async with brokered(KINDS[kind]) as (plugin, _):
            async with plugin.serve(1, health_service):
                assert list(sockets.iterdir()) != []
            assert list(sockets.iterdir()) == []
            async with plugin.serve(2, health_service):
                await plugin.close()
                assert list(sockets.iterdir()) == []

    run(main())


def test_broker_keeps_nothing_of_a_channel_that_nobody_has(sockets: Path) -> None:
    async def use(plugin: GRPCBroker) -> None:
        async with await plugin.dial(7):
            assert list(sockets.iterdir()) != []

    async def main() -> None:
        async with brokered(KINDS["relayed tls"]) as (plugin, host):
            host.announce(service_id=7, network="unix", address="/nobody")
            await use(plugin)
            gc.collect()
            end = asyncio.get_running_loop().time() + LIMIT
            while list(sockets.iterdir()):
                assert asyncio.get_running_loop().time() < end
                await asyncio.sleep(0.01)

    run(main())


def test_broker_waits_for_an_announcement_and_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "BROKER_TIMEOUT", 0.1)

    async def main() -> None:
        async with brokered() as (plugin, host):
            with pytest.raises(BrokerError, match="timeout waiting for connection info of id 7"):
                await plugin.dial(7)
            monkeypatch.setattr(broker, "BROKER_TIMEOUT", LIMIT)
            waiting = asyncio.ensure_future(plugin.dial(8))
            await asyncio.sleep(0)
            host.announce(service_id=8, network="unix", address="/first")
            host.announce(service_id=8, network="unix", address="/second")
            await (await waiting).close()
            # It was good for one connection; the second of its name came while the first was pending, and is dropped.
            monkeypatch.setattr(broker, "BROKER_TIMEOUT", 0.1)
            with pytest.raises(BrokerError, match="timeout"):
                await plugin.dial(8)
            host.announce(service_id=9, network="unix", address="/forgotten")
            for known in (True, False):
                while (9 in plugin._slots) is not known:
                    await asyncio.sleep(0.01)
            with pytest.raises(BrokerError, match="timeout"):
                await plugin.dial(9)

    run(main())


@pytest.mark.parametrize("who", ["the host hangs up", "the plugin ends"])
def test_broker_tells_everybody_when_it_closes(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than this test may take.
    monkeypatch.setattr(broker, "BROKER_TIMEOUT", 10 * LIMIT)

    async def main() -> None:
        async with brokered() as (plugin, host):
            waiting = [asyncio.ensure_future(plugin.dial(id)) for id in (7, 7, 8)]
            serving = asyncio.ensure_future(plugin.accept_and_serve(1, health_service))
            await asyncio.wait_for(host.sent.get(), LIMIT)
            if who == "the plugin ends":
                await plugin.close()
            else:
                host.hang_up()
            done, _ = await asyncio.wait([*waiting, serving], timeout=LIMIT)
            assert len(done) == 4
            assert serving.exception() is None
            for task in waiting:
                with pytest.raises(BrokerError, match="closed"):
                    task.result()
            with pytest.raises(BrokerError, match="closed"):
                await plugin.dial(7)
            with pytest.raises(BrokerError, match="closed"):
                await plugin.accept_and_serve(1, health_service)

    run(main())


def test_broker_has_one_host(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN)
    call = plugin.channel.stream_stream(
        "/plugin.GRPCBroker/StartStream",
        request_serializer=ConnInfo.SerializeToString,
        response_deserializer=ConnInfo.FromString,
    )

    over = threading.Event()

    def silent() -> Iterator[Any]:
        over.wait(LIMIT)
        yield from ()

    first = call(silent(), timeout=LIMIT)
    try:
        assert check(plugin.channel) == HealthCheckResponse.SERVING
        code, details = code_of(lambda: next(call(silent(), timeout=LIMIT)))
        assert (code, details) == (grpc.StatusCode.FAILED_PRECONDITION, "the broker has its host already")
    finally:
        over.set()
        first.cancel()


def test_a_relay_hands_on_all_that_the_server_said(tmp_path: Path) -> None:
    size = 1_000_000

    async def main() -> int:
        host = session(ec.SECP521R1())
        address, behind = str(tmp_path / "address"), str(tmp_path / "behind")
        said = asyncio.Event()

        async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(bytes(size))
            writer.close()
            said.set()

        server = await asyncio.start_unix_server(say, behind)
        async with relay.accepting(host, address, behind):
            context = host.context(ssl.PROTOCOL_TLS_CLIENT)
            reader, writer = await asyncio.open_unix_connection(address, ssl=context, server_hostname=tls.NAME)
            reading = asyncio.ensure_future(reader.read(-1))
            await asyncio.wait_for(said.wait(), LIMIT)
        received = len(await asyncio.wait_for(reading, LIMIT))
        writer.close()
        server.close()
        return received

    assert run(main()) == size


def test_a_relay_ends_though_the_host_does_not_read(tmp_path: Path) -> None:
    async def main() -> None:
        host = session(ec.SECP521R1())
        address, behind = str(tmp_path / "address"), str(tmp_path / "behind")
        stuck = asyncio.Event()

        async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(bytes(50_000_000))
            stuck.set()
            await writer.drain()

        server = await asyncio.start_unix_server(say, behind)
        async with relay.accepting(host, address, behind):
            context = host.context(ssl.PROTOCOL_TLS_CLIENT)
            _, writer = await asyncio.open_unix_connection(address, ssl=context, server_hostname=tls.NAME)
            await asyncio.wait_for(stuck.wait(), LIMIT)
        writer.close()
        server.close()

    run(main())
