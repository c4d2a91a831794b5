"""The channel to the host over ttrpc: what is true of it is true of grpcio's, where both are tried."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Callable

import grpc
import grpc.aio
import pytest

from effect_plugin import goplugin
from effect_plugin._loops import EventLoop
from effect_plugin._stopping import Stopping
from effect_plugin._ttrpc import wire
from effect_plugin._ttrpc.server import Server
from effect_plugin.goplugin.host_channel import HostChannel
from effect_plugin.goplugin.servicers import Servicers

from .conftest import LIMIT

STATUS = wire.Response().status
STATUS.code, STATUS.message = 11, "too far"
STATUS.details.add(type_url="x/y", value=b"z")

Handlers = grpc.GenericRpcHandler


class Called:
    """What the host serves, and what it has heard."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.metadata: list[tuple[str, Any]] = []

    async def double(self, request: bytes, context: Any) -> bytes:
        self.metadata = [tuple(each) for each in context.invocation_metadata() if each[0].startswith("x-")]
        if request == b"far":
            trailers = (("grpc-status-details-bin", STATUS.SerializeToString()),)
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, "too far", trailers)
        return 2 * request

    async def hang(self, request: bytes, context: Any) -> bytes:
        await self._hang()
        return b""

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number
        if request == b"3":
            await context.abort(grpc.StatusCode.ABORTED, "enough")
        if request == b"4":
            await self._hang()

    async def join(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        joined = b""
        async for request in requests:
            if request == b"answer":
                break
            joined += request
        return joined

    async def echo(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def _hang(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def handlers(self) -> Handlers:
        made: dict[str, Any] = {
            "Double": grpc.unary_unary_rpc_method_handler(self.double),
            "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Join": grpc.stream_unary_rpc_method_handler(self.join),
            "Echo": grpc.stream_stream_rpc_method_handler(self.echo),
        }
        return grpc.method_handlers_generic_handler("a.Host", made)


class Stub:
    """As generated code has it."""

    def __init__(self, channel: Any, called: Called) -> None:
        self.channel = channel
        self.called = called
        self.double = channel.unary_unary("/a.Host/Double")
        self.hang = channel.unary_unary("/a.Host/Hang")
        self.count = channel.unary_stream("/a.Host/Count")
        self.join = channel.stream_unary("/a.Host/Join")
        self.echo = channel.stream_stream("/a.Host/Echo")


@contextlib.asynccontextmanager
async def over_grpc() -> AsyncIterator[Stub]:
    called, server = Called(), grpc.aio.server()
    server.add_generic_rpc_handlers([called.handlers()])
    port = server.add_insecure_port("localhost:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        yield Stub(channel, called)
    await server.stop(None)


@contextlib.asynccontextmanager
async def over_ttrpc() -> AsyncIterator[Stub]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        home = EventLoop.here()
        called, servicers, stopping = Called(), Servicers(home), Stopping(home.loop)
        servicers.add_generic_rpc_handlers([called.handlers()])
        server = Server(theirs, home, stopping, 1, stopping.set)
        server.find_by(servicers.find)
        server.start()
        async with HostChannel(ours) as channel:
            yield Stub(channel, called)
        await server.stop()


Connect = Callable[[], contextlib.AbstractAsyncContextManager[Stub]]
Test = Callable[[Stub], Awaitable[None]]


def run(connect: Connect, test: Test) -> None:
    async def connected() -> None:
        async with connect() as stub:
            await asyncio.wait_for(test(stub), LIMIT)

    asyncio.run(connected())


either = pytest.mark.parametrize("connect", [over_grpc, over_ttrpc])


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def each(*requests: bytes) -> AsyncIterator[bytes]:
    for request in requests:
        yield request


async def endless(first: bytes) -> AsyncIterator[bytes]:
    yield first
    await asyncio.Event().wait()


@either
def test_every_kind(connect: Connect) -> None:
    async def test(stub: Stub) -> None:
        call = stub.double(b"x", timeout=LIMIT)
        assert (await call, await call) == (b"xx", b"xx")
        assert (await call.code(), await call.details()) == (grpc.StatusCode.OK, "")
        assert (call.done(), call.cancelled(), call.cancel()) == (True, False, False)
        assert [message async for message in stub.count(b"2")] == [b"0", b"1"]
        for requests in (each(b"a", b"b"), [b"a", b"b"]):
            call = stub.join(requests)
            assert (await call, await call) == (b"ab", b"ab")
        assert [message async for message in stub.echo(each(b"a", b"", b"b"))] == [b"a", b"", b"b"]
        joining = stub.join()
        await joining.write(b"a")
        await joining.write(b"b")
        await joining.done_writing()
        assert await joining == b"ab"
        echoing = stub.echo()
        for message in (b"a", b"b"):
            await echoing.write(message)
            assert await echoing.read() == message
        await echoing.done_writing()
        assert (await echoing.read(), await echoing.read()) == (grpc.aio.EOF, grpc.aio.EOF)
        assert (await echoing.code(), await echoing.details()) == (grpc.StatusCode.OK, "")

    run(connect, test)


@either
def test_how_calls_fail(connect: Connect) -> None:
    async def test(stub: Stub) -> None:
        call = stub.double(b"far")
        error = await failure(call)
        assert (error.code(), error.details()) == (grpc.StatusCode.OUT_OF_RANGE, "too far")
        for trailers in (error.trailing_metadata(), await call.trailing_metadata()):
            assert trailers["grpc-status-details-bin"] == STATUS.SerializeToString()
        assert (await call.code(), await call.details()) == (grpc.StatusCode.OUT_OF_RANGE, "too far")
        counting = stub.count(b"3")
        assert [await counting.read() for _ in range(3)] == [b"0", b"1", b"2"]
        error = await failure(counting.read())
        assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "enough")
        assert len(error.trailing_metadata()) == 0
        assert (await counting.code(), await counting.details()) == (grpc.StatusCode.ABORTED, "enough")
        unknown = stub.channel.unary_unary("/a.Host/Unknown")
        assert (await failure(unknown(b""))).code() is grpc.StatusCode.UNIMPLEMENTED

    run(connect, test)


@either
def test_deadlines(connect: Connect) -> None:
    async def test(stub: Stub) -> None:
        call = stub.hang(b"", timeout=0.1)
        assert 0 <= call.time_remaining() <= 0.1
        assert (await failure(call)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await stub.called.cancelled.wait()
        counting = stub.count(b"4", timeout=0.1)
        assert 0 <= counting.time_remaining() <= 0.1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in counting:
                pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        for unbounded in (stub.double(b"x"), stub.count(b"2"), stub.join([])):
            assert unbounded.time_remaining() is None

    run(connect, test)


@either
@pytest.mark.parametrize("kind", ["unary", "stream"])
def test_calls_that_are_cancelled(connect: Connect, kind: str) -> None:
    async def test(stub: Stub) -> None:
        called = stub.called

        async def begin() -> Any:
            called.begun.clear()
            called.cancelled.clear()
            call = stub.hang(b"") if kind == "unary" else stub.count(b"4")
            await called.begun.wait()
            return call

        async def answered(call: Any) -> None:
            if kind == "unary":
                await call
            async for _ in call:
                pass

        call = await begin()
        waiting = asyncio.ensure_future(answered(call))
        await asyncio.sleep(0)
        ended = asyncio.get_running_loop().create_future()
        call.add_done_callback(ended.set_result)
        assert call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (call.cancelled(), call.done(), call.cancel()) == (True, True, False)
        assert await call.code() is grpc.StatusCode.CANCELLED
        assert await ended is call
        await called.cancelled.wait()

        # By the task that waits for it.
        call = await begin()
        waiting = asyncio.ensure_future(answered(call))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await called.cancelled.wait()
        assert call.cancelled()
        assert await call.code() is grpc.StatusCode.CANCELLED

    run(connect, test)


@either
def test_a_call_that_nobody_holds_goes_on(connect: Connect) -> None:
    async def test(stub: Stub) -> None:
        stub.hang(b"")
        await stub.called.begun.wait()
        gc.collect()
        assert await stub.double(b"x") == b"xx"
        assert not stub.called.cancelled.is_set()

    run(connect, test)


@either
def test_an_answer_before_the_last_request(connect: Connect) -> None:
    async def test(stub: Stub) -> None:
        requests = endless(b"answer")
        assert await stub.join(requests) == b""

    run(connect, test)


@either
def test_requests_come_one_way(connect: Connect) -> None:
    async def test(stub: Stub) -> None:
        call = stub.echo(endless(b"a"))
        assert await call.read() == b"a"
        for refused in (call.write(b"b"), call.done_writing()):
            with pytest.raises(grpc.aio.UsageError):
                await refused
        call.cancel()

    run(connect, test)


@either
def test_metadata(connect: Connect) -> None:
    async def test(stub: Stub) -> None:
        sent: list[tuple[str, Any]] = [("x-id", "a"), ("x-id", "b"), ("x-some-bin", b"\x00\xff")]
        call = stub.double(b"x", metadata=sent)
        await call
        assert stub.called.metadata == sent
        await stub.double(b"x", metadata=grpc.aio.Metadata.from_tuple(tuple(sent)))
        assert sorted(stub.called.metadata) == sorted(sent)
        assert "x-id" not in await call.initial_metadata()
        await call.wait_for_connection()
        for wrong in ([("x-id", 1)], [("x-some-bin", "text")]):
            with pytest.raises(TypeError):
                await stub.double(b"x", metadata=wrong)

    run(connect, test)


# -- what is the channel's own ----------------------------------------------------------------------------------------


def test_a_stream_that_nobody_holds_is_cancelled() -> None:
    # It would hold up all others, since nobody reads it.
    async def test(stub: Stub) -> None:
        async for message in stub.count(b"4"):
            if message == b"3":
                await stub.called.begun.wait()
                break
        gc.collect()
        await stub.called.cancelled.wait()

    run(over_ttrpc, test)


def test_answers_that_are_no_messages() -> None:
    async def test(stub: Stub) -> None:
        channel, read = stub.channel, wire.Response.FromString
        calls = [
            channel.unary_unary("/a.Host/Double", response_deserializer=read)(b"\xff"),
            channel.stream_unary("/a.Host/Join", response_deserializer=read)([b"\xff"]),
            channel.stream_stream("/a.Host/Echo", response_deserializer=read)([b"\xff"]).read(),
        ]
        for call in calls:
            error = await failure(call)
            assert (error.code(), error.details()) == (
                grpc.StatusCode.INTERNAL,
                "Exception deserializing response!",
            )

    run(over_ttrpc, test)


def test_a_deadline_that_is_over() -> None:
    async def test(stub: Stub) -> None:
        for seconds in (0, -1):
            assert (await failure(stub.double(b"x", timeout=seconds))).code() is grpc.StatusCode.DEADLINE_EXCEEDED

    run(over_ttrpc, test)


def test_requests_that_fail_say_why() -> None:
    async def fails() -> AsyncIterator[bytes]:
        yield b"a"
        raise LookupError("no more")

    async def test(stub: Stub) -> None:
        call = stub.echo(fails())
        with pytest.raises(LookupError, match="no more"):
            async for _ in call:
                pass
        assert await call.code() is grpc.StatusCode.CANCELLED
        with pytest.raises(LookupError, match="no more"):
            await stub.join(fails())

    run(over_ttrpc, test)


def test_what_it_is_not_for() -> None:
    async def test(stub: Stub) -> None:
        with pytest.raises(ValueError, match="takes no credentials"):
            stub.double(b"", credentials=grpc.access_token_call_credentials("x"))
        with pytest.raises(ValueError, match="'Double' names no method"):
            stub.channel.unary_unary("Double")
        with pytest.raises(grpc.aio.UsageError):
            await stub.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        with pytest.raises(RuntimeError, match="no running event loop"):
            await asyncio.get_running_loop().run_in_executor(None, stub.count, b"1")
        # These change nothing; the first is how generated code of grpcio from 1.63 on asks.
        registered = stub.channel.unary_unary("/a.Host/Double", _registered_method=True)
        assert await registered(b"x") == b"xx"
        await stub.channel.channel_ready()
        call = stub.double(b"x", wait_for_ready=True, compression=grpc.Compression.Gzip)
        assert await call == b"xx"

    run(over_ttrpc, test)


def test_a_host_that_is_gone() -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair()
        with ours:
            channel = HostChannel(ours)
            double, echo = channel.unary_unary("/a.Host/Double"), channel.stream_stream("/a.Host/Echo")
            assert channel.get_state() is grpc.ChannelConnectivity.READY
            # More than the host takes, sent in two turns of the loop, so that the last ones wait for room.
            calls = [double(bytes(1 << 20))]
            await asyncio.sleep(0.01)
            calls.extend([double(bytes(1 << 20)) for _ in range(8)])
            await asyncio.sleep(0.01)
            assert channel._connection._writer.is_full
            calls.extend([echo(), double(b"")])
            theirs.close()
            for call in calls:
                error = await failure(call.read() if hasattr(call, "read") else call)
                assert (error.code(), error.details()) == (
                    grpc.StatusCode.UNAVAILABLE,
                    "the connection to the host has ended",
                )
            assert channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN

    asyncio.run(asyncio.wait_for(test(), LIMIT))


def test_it_is_loaded_by_who_uses_it() -> None:
    program = """
import socket, sys
from effect_plugin.goplugin.over_ttrpc import NoBroker
broker = NoBroker(socket.socketpair()[0])
ours = ("effect_plugin._ttrpc.client", "effect_plugin.goplugin.host_channel")
print([name in sys.modules for name in ours])
assert broker.host is broker.host
print([name in sys.modules for name in ours])
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=LIMIT)
    assert printed.stdout.splitlines() == ["[False, False]", "[True, True]"]


def test_there_is_none_over_grpc() -> None:
    async def test() -> None:
        assert goplugin.GRPCBroker(None).host is None

    asyncio.run(test())
