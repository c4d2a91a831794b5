"""Servers of either side's besides the plugin's own, over real gRPC."""

from __future__ import annotations


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
