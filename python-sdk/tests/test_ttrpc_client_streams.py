"""Streams of the host, as coroutines open them over ttrpc, whatever the host answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Iterator
from typing import Any, Callable

import pytest

from effect_plugin._status import CallError, Code
from effect_plugin._ttrpc import client
from effect_plugin._ttrpc.client import HostConnection
from effect_plugin._ttrpc.client_streams import ClientStream, StreamRpc
from effect_plugin._ttrpc.streams import WINDOW

from .conftest import LIMIT
from .ttrpc_host import (
    DATA,
    NO_DATA,
    REMOTE_CLOSED,
    REMOTE_OPEN,
    REQUEST,
    RESPONSE,
    CancelRequest,
    Request,
    Response,
    failed,
    frame,
    read_frame,
)


def as_it_is(data: bytes) -> bytes:
    return data


#: Rpcs of bytes.
ANSWERS = StreamRpc("a.Service", "Answers", as_it_is, as_it_is, False, True)
ASKS = ANSWERS._replace(name="Asks", takes_stream=True, answers_stream=False)
BOTH = ANSWERS._replace(name="Both", takes_stream=True)

#: The metadata of each call.
METADATA = [("key", "value")]


class Host:
    """The other end of a connection, which tests read and write by hand."""

    def __init__(self, connection: HostConnection, end: socket.socket) -> None:
        self.connection = connection
        self.end = end

    def open(self, rpc: StreamRpc, request: bytes | None = None, seconds: float = LIMIT) -> ClientStream:
        return self.connection.stream(rpc, request, seconds, METADATA)

    async def read(self) -> tuple[int, int, int, bytes]:
        """The next frame: stream, type, flags and data."""
        return await asyncio.get_running_loop().run_in_executor(None, read_frame, self.end)

    async def opened(self, flags: int) -> tuple[int, Any]:
        """The stream that is opened next, and its request."""
        stream, kind, given, data = await self.read()
        assert (kind, given) == (REQUEST, flags)
        return stream, Request.FromString(data)

    async def cancelled(self) -> int:
        """The stream that is given up next."""
        _, request = await self.opened(0)
        assert (request.service, request.method) == ("plugin_supervisor.v1.Calls", "Cancel")
        stream: int = CancelRequest.FromString(request.payload).stream_id
        return stream

    def send(self, *frames: bytes) -> None:
        self.end.sendall(b"".join(frames))


@pytest.fixture
def host() -> Iterator[Host]:
    ours, theirs = socket.socketpair()
    # A thread that waits for longer would keep the test from ending.
    theirs.settimeout(LIMIT)
    with ours, theirs:
        connection = HostConnection(ours)
        yield Host(connection, theirs)
        theirs.shutdown(socket.SHUT_RDWR)
        # What is on its way still is written by a thread, which is not to find the socket closed.
        connection._writer.wait_for_room(LIMIT)
        connection._writer.close()


def data(stream: int, message: bytes, flags: int = 0) -> bytes:
    return frame(stream, DATA, message, flags)


def end(stream: int) -> bytes:
    return data(stream, b"", REMOTE_CLOSED | NO_DATA)


def answered(stream: int, payload: bytes) -> bytes:
    return frame(stream, RESPONSE, Response(payload=payload).SerializeToString())


async def fails(call: Awaitable[Any]) -> tuple[Code, str]:
    with pytest.raises(CallError) as caught:
        await call
    return caught.value.code, caught.value.details


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within_limit() -> None:
        await asyncio.wait_for(test(), LIMIT)

    asyncio.run(within_limit())


def test_every_kind(host: Host) -> None:
    async def test() -> None:
        async with host.open(ANSWERS, b"asked") as answers:
            stream, request = await host.opened(REMOTE_CLOSED)
            assert (request.service, request.method, request.payload) == ("a.Service", "Answers", b"asked")
            assert 0 < request.timeout_nano <= LIMIT * 1e9
            assert [(each.key, each.value) for each in request.metadata] == METADATA
            host.send(data(stream, b"1"), data(stream, b""), data(stream, b"2", REMOTE_CLOSED), data(stream, b"late"))
            assert [message async for message in answers] == [b"1", b"", b"2"]
            assert (await fails(answers.send(b"more")))[0] == Code.UNKNOWN
        async with host.open(ASKS) as asks:
            stream, request = await host.opened(REMOTE_OPEN)
            assert request.payload == b""
            await asks.send(b"1")
            await asks.send(b"")
            assert await host.read() == (stream, DATA, 0, b"1")
            assert await host.read() == (stream, DATA, 0, b"")
            answer = asyncio.ensure_future(asks.response())
            assert await host.read() == (stream, DATA, REMOTE_CLOSED | NO_DATA, b"")
            host.send(answered(stream, b""))
            assert await answer == b""
        async with host.open(BOTH) as both:
            stream, _ = await host.opened(REMOTE_OPEN)
            await both.send(b"1")
            assert await host.read() == (stream, DATA, 0, b"1")
            host.send(data(stream, b"one"))
            assert await both.__anext__() == b"one"
            await both.close()
            await both.close()
            assert await host.read() == (stream, DATA, REMOTE_CLOSED | NO_DATA, b"")
            assert await fails(both.send(b"more")) == (Code.INTERNAL, "nothing more can be sent after the last request")
            host.send(end(stream))
            assert [message async for message in both] == []
        # None of them was given up.
        host.open(ANSWERS, b"")
        await host.opened(REMOTE_CLOSED)

    run(test)


def test_a_failure_comes_after_what_came_before(host: Host) -> None:
    async def test() -> None:
        both = host.open(BOTH)
        stream, _ = await host.opened(REMOTE_OPEN)
        host.send(data(stream, b"1"), failed(stream, 10, "enough"))
        assert await both.__anext__() == b"1"
        assert await fails(both.__anext__()) == (Code.ABORTED, "enough")
        assert await fails(both.send(b"x")) == (Code.ABORTED, "enough")
        asks = host.open(ASKS)
        stream, _ = await host.opened(REMOTE_OPEN)
        host.send(failed(stream, 10, "enough"))
        assert await fails(asks.response()) == (Code.ABORTED, "enough")

    run(test)


def test_what_is_given_up_is_told(host: Host) -> None:
    async def test() -> None:
        async with host.open(BOTH) as both:
            stream, _ = await host.opened(REMOTE_OPEN)
        assert await host.cancelled() == stream
        assert await fails(both.__anext__()) == (Code.CANCELLED, "the call was cancelled")
        # And so is one whose time is over.
        both = host.open(BOTH, seconds=0.05)
        stream, _ = await host.opened(REMOTE_OPEN)
        assert await fails(both.__anext__()) == (Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
        assert await host.cancelled() == stream
        host.send(data(stream, b"late"), end(stream))
        # And one whose reader is.
        async with host.open(BOTH) as both:
            stream, _ = await host.opened(REMOTE_OPEN)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(both.__anext__(), 0.05)
            host.send(data(stream, b"1"))
            assert await both.__anext__() == b"1"

    run(test)


def test_what_is_too_large_fails_its_stream_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.connection, "_limit", 1000)
    monkeypatch.setattr(host.connection._reader, "_limit", 1000)

    async def test() -> None:
        other = host.open(BOTH)
        kept, _ = await host.opened(REMOTE_OPEN)
        both = host.open(BOTH)
        stream, _ = await host.opened(REMOTE_OPEN)
        too_large = (Code.RESOURCE_EXHAUSTED, "Sent message larger than max (1001 vs. 1000)")
        assert await fails(both.send(b"x" * 1001)) == too_large
        assert await host.cancelled() == stream
        both = host.open(BOTH)
        stream, _ = await host.opened(REMOTE_OPEN)
        host.send(data(stream, b"x" * 1001), data(stream, b"more"))
        assert await fails(both.__anext__()) == (Code.RESOURCE_EXHAUSTED, "Received message larger than max (1000)")
        assert await host.cancelled() == stream
        assert (await fails(host.open(ANSWERS, b"x" * 1001).__anext__()))[0] == Code.RESOURCE_EXHAUSTED
        host.send(data(kept, b"x" * 1000))
        assert await other.__anext__() == b"x" * 1000

    run(test)


@pytest.mark.parametrize("message", [b"x", b"x" * 500])
def test_a_stream_that_nobody_reads_fails_and_the_others_go_on(
    host: Host, monkeypatch: pytest.MonkeyPatch, message: bytes
) -> None:
    monkeypatch.setattr(host.connection, "_limit", 10_000)

    async def test() -> None:
        unread, read = host.open(BOTH), host.open(BOTH)
        (first, _), (second, _) = await host.opened(REMOTE_OPEN), await host.opened(REMOTE_OPEN)
        host.send(*[data(first, message)] * 2 * WINDOW)
        host.send(data(second, b"1"))
        assert await read.__anext__() == b"1"
        asked = asyncio.ensure_future(host.connection.call_async("a.Service", "Method", b"", LIMIT, []))
        given_up = []
        for _ in range(2):
            stream, request = await host.opened(0)
            if request.method == "Method":
                host.send(answered(stream, b"good"))
            else:
                given_up.append(CancelRequest.FromString(request.payload).stream_id)
        assert await asked == b"good"
        assert await fails(unread.__anext__()) == (Code.RESOURCE_EXHAUSTED, "the stream's messages were not read")
        assert given_up == [first]

    run(test)


def test_one_that_is_read_late_has_all_of_it(host: Host) -> None:
    async def test() -> None:
        both = host.open(BOTH)
        stream, _ = await host.opened(REMOTE_OPEN)
        sent = [b"%d" % number for number in range(WINDOW)]
        host.send(*(data(stream, message) for message in sent), end(stream))
        asked = asyncio.ensure_future(host.connection.call_async("a.Service", "Method", b"", LIMIT, []))
        other, _ = await host.opened(0)
        host.send(answered(other, b"good"))
        assert await asked == b"good"
        assert [message async for message in both] == sent

    run(test)


def test_two_that_receive(host: Host) -> None:
    async def test() -> None:
        both = host.open(BOTH)
        first = asyncio.ensure_future(both.__anext__())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="read by another coroutine"):
            await both.__anext__()
        stream, _ = await host.opened(REMOTE_OPEN)
        host.send(data(stream, b"1"))
        assert await first == b"1"

    run(test)


def test_what_no_host_should_answer(host: Host) -> None:
    async def test() -> None:
        both = host.open(BOTH)
        stream, _ = await host.opened(REMOTE_OPEN)
        asked = asyncio.ensure_future(host.connection.call_async("a.Service", "Method", b"", LIMIT, []))
        unary, _ = await host.opened(0)
        host.send(data(1_000_001, b"nobody's"), frame(1_000_001, RESPONSE, b""), data(unary, b"a message"))
        assert (await fails(asked))[0] == Code.INTERNAL
        host.send(frame(stream, RESPONSE, b"\xff\xff"))
        assert await fails(both.__anext__()) == (Code.INTERNAL, "the host has answered what is no response")
        both = host.open(BOTH)
        stream, _ = await host.opened(REMOTE_OPEN)
        host.send(frame(stream, 9, b""))
        assert (await fails(both.__anext__()))[0] == Code.INTERNAL
        # What is none of the rpc's messages.
        read = BOTH._replace(read=Request.FromString)
        both = host.open(read)
        stream, _ = await host.opened(REMOTE_OPEN)
        host.send(data(stream, b"\xff\xff"))
        assert await fails(both.__anext__()) == (Code.INTERNAL, "Exception deserializing response!")
        assert await host.cancelled() == stream

    run(test)


@pytest.mark.parametrize("last", [b"", b"\xff" * 10])
def test_the_end_of_the_connection(host: Host, last: bytes) -> None:
    async def test() -> None:
        both = host.open(BOTH)
        stream, _ = await host.opened(REMOTE_OPEN)
        host.send(data(stream, b"1"))
        assert await both.__anext__() == b"1"
        host.send(last)
        host.end.shutdown(socket.SHUT_RDWR)
        gone = (Code.UNAVAILABLE, "the connection to the host has ended")
        assert await fails(both.__anext__()) == gone
        assert await fails(both.send(b"x")) == gone
        assert await fails(host.open(BOTH).__anext__()) == gone

    run(test)


def test_one_that_waits_for_its_turn(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_STREAMS", 1)

    async def test() -> None:
        first, second = host.open(BOTH), host.open(BOTH)
        third = host.open(BOTH)
        stream, _ = await host.opened(REMOTE_OPEN)
        sending = asyncio.ensure_future(second.send(b"1"))
        in_vain = asyncio.ensure_future(third.send(b"1"))
        await asyncio.sleep(0)
        assert not sending.done()
        # It has not begun, so that nobody is told of its end.
        third.cancel()
        assert await fails(in_vain) == (Code.CANCELLED, "the call was cancelled")
        host.send(end(stream))
        assert [message async for message in first] == []
        stream, _ = await host.opened(REMOTE_OPEN)
        assert await host.read() == (stream, DATA, 0, b"1")
        await sending

    run(test)


def test_a_host_that_does_not_read(host: Host) -> None:
    async def test() -> None:
        both = host.open(BOTH)
        sent = 0

        async def pour() -> None:
            nonlocal sent
            while True:
                await both.send(b"x" * 100_000)
                sent += 1

        pouring = asyncio.ensure_future(pour())
        before = -1
        while sent != before or not host.connection._writer.is_full:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 200
        stream, _ = await host.opened(REMOTE_OPEN)
        for _ in range(200):
            assert (await host.read())[:2] == (stream, DATA)
        host.send(failed(stream, 10, "enough"))
        assert await fails(pouring) == (Code.ABORTED, "enough")

    run(test)
