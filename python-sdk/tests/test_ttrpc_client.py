"""Calls of the host over ttrpc, whatever it answers."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from effect_plugin._status import CallError, Code
from effect_plugin._ttrpc import client, wire
from effect_plugin._ttrpc.client import HostConnection

from .conftest import LIMIT
from .ttrpc_host import DATA, RESPONSE, CancelRequest, Request, Response, failed, frame, read_frame

Connected = tuple[HostConnection, socket.socket]
Ask = Callable[[HostConnection], bytes]


@pytest.fixture
def connected() -> Iterator[Connected]:
    """A connection, and its host's side."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield HostConnection(ours), theirs
        theirs.shutdown(socket.SHUT_RDWR)


def on_thread(connection: HostConnection, seconds: float = LIMIT) -> bytes:
    return connection.call("a.Service", "Method", b"", seconds, [])


def on_loop(connection: HostConnection, seconds: float = LIMIT) -> bytes:
    return asyncio.run(connection.call_async("a.Service", "Method", b"", seconds, []))


each_way = pytest.mark.parametrize("ask", [on_thread, on_loop])


def answer(theirs: socket.socket, *frames: Callable[[int], bytes]) -> threading.Thread:
    """Sends something for the next call."""

    def send() -> None:
        stream, *_ = read_frame(theirs)
        theirs.sendall(b"".join(each(stream) for each in frames))

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def good(stream: int) -> bytes:
    return frame(stream, RESPONSE, Response(payload=b"good").SerializeToString())


@each_way
def test_what_is_no_answer_fails_its_call_alone(connected: Connected, ask: Ask) -> None:
    connection, theirs = connected
    for wrong, code in (
        (lambda stream: frame(stream, RESPONSE, b"\xff\xff"), Code.INTERNAL),
        (lambda stream: frame(stream, DATA, b""), Code.INTERNAL),
        (lambda stream: frame(stream, 77, b"?"), Code.INTERNAL),
        (lambda stream: failed(stream, 5, "no such thing"), Code.NOT_FOUND),
        (lambda stream: failed(stream, 1234, "?"), Code.UNKNOWN),
    ):
        sending = answer(theirs, wrong)
        with pytest.raises(CallError) as caught:
            ask(connection)
        assert caught.value.code is code
        sending.join()
        # Answers to nothing are ignored.
        sending = answer(theirs, lambda _: good(99_999), lambda _: good(2), good)
        assert ask(connection) == b"good"
        sending.join()


@each_way
def test_an_answer_that_is_too_large(connected: Connected, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, theirs = connected
    monkeypatch.setattr(connection._reader, "_limit", 1000)
    answer(theirs, lambda stream: frame(stream, RESPONSE, b"x" * 1_000_000))
    with pytest.raises(CallError, match="larger than max") as caught:
        ask(connection)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    answer(theirs, good)
    assert ask(connection) == b"good"


@each_way
def test_a_request_that_is_too_large_fails_alone(
    connected: Connected, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, theirs = connected
    with monkeypatch.context() as patched:
        patched.setattr(connection, "_limit", 5)
        with pytest.raises(CallError, match="Sent message larger than max"):
            ask(connection)
    answer(theirs, good)
    assert ask(connection) == b"good"


@each_way
@pytest.mark.parametrize("last", [b"", b"\x00\x00\x01", b"\xff" * 10])
def test_the_end_of_the_connection(connected: Connected, ask: Ask, last: bytes) -> None:
    connection, theirs = connected

    def end() -> None:
        read_frame(theirs)
        theirs.sendall(last)
        # What is no frame may have ended it from the other side.
        with contextlib.suppress(OSError):
            theirs.shutdown(socket.SHUT_WR)

    threading.Thread(target=end, daemon=True).start()
    for _ in range(2):
        with pytest.raises(CallError) as caught:
            ask(connection)
        assert caught.value.code is Code.UNAVAILABLE


def test_streams_begin_again_after_the_last(connected: Connected) -> None:
    connection, theirs = connected
    connection._last_stream = wire.LAST_STREAM - 2
    streams = []
    for _ in range(3):
        sending = answer(theirs, lambda stream: streams.append(stream) or good(stream))  # type: ignore[func-returns-value]
        assert on_thread(connection) == b"good"
        sending.join()
    assert streams == [wire.LAST_STREAM, 1, 3]


def test_calls_beyond_what_a_host_takes_wait_for_their_turn(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, theirs = connected
    monkeypatch.setattr(client, "MAX_STREAMS", 3)
    answers: list[bytes] = []

    async def ask_many() -> None:
        calls = (connection.call_async("a.Service", "Method", b"", LIMIT, []) for _ in range(10))
        answers.extend(await asyncio.gather(*calls))

    threads = [threading.Thread(target=lambda: answers.append(on_thread(connection)), daemon=True) for _ in range(10)]
    threads.append(threading.Thread(target=lambda: asyncio.run(ask_many()), daemon=True))
    for thread in threads:
        thread.start()
    streams = []
    for count in range(20):
        streams.append(read_frame(theirs)[0])
        if count >= 2:
            assert not select.select([theirs], [], [], 0.01)[0], "three are under way"
            theirs.sendall(good(streams.pop(0)))
    theirs.sendall(b"".join(map(good, streams)))
    for thread in threads:
        thread.join(LIMIT)
    assert answers == [b"good"] * 20


def test_calls_that_wait_for_their_turn_and_are_given_up(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, theirs = connected
    monkeypatch.setattr(client, "MAX_STREAMS", 1)

    def asked() -> tuple[int, Any]:
        stream, _, _, data = read_frame(theirs)
        return stream, Request.FromString(data)

    async def ask() -> None:
        first, second, third = (
            asyncio.ensure_future(connection.call_async("a.Service", name, b"", LIMIT, []))
            for name in ("First", "Second", "Third")
        )
        stream, request = await asyncio.to_thread(asked)
        assert request.method == "First"
        second.cancel()
        await asyncio.wait([second])
        first.cancel()
        _, request = await asyncio.to_thread(asked)
        assert (request.method, CancelRequest.FromString(request.payload).stream_id) == ("Cancel", stream)
        stream, request = await asyncio.to_thread(asked)
        assert request.method == "Third"
        assert 0 < request.timeout_nano < LIMIT * 1e9, "what is left of its time"
        theirs.sendall(good(stream))
        assert await third == b"good"

    asyncio.run(ask())


@each_way
def test_a_call_that_waits_for_its_turn_ends_in_time_and_with_the_connection(
    connected: Connected, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, theirs = connected
    monkeypatch.setattr(client, "MAX_STREAMS", 0)
    with pytest.raises(CallError) as late:
        connection.call("a.Service", "Method", b"", 0.05, [])
    assert late.value.code is Code.DEADLINE_EXCEEDED
    ending = threading.Timer(0.05, theirs.shutdown, [socket.SHUT_RDWR])
    ending.start()
    with pytest.raises(CallError) as ended:
        ask(connection)
    assert ended.value.code is Code.UNAVAILABLE


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on no thread of the SDK's can be started."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("ttrpc-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    return lambda: monkeypatch.setattr(threading.Thread, "start", refuse)


def test_a_thread_that_reads_and_could_not_be_started_is_started_by_the_next_call(
    connected: Connected, no_threads: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, theirs = connected
    no_threads()
    with pytest.raises(RuntimeError, match="can't start new thread"):
        on_loop(connection)
    answer(theirs, good)
    assert on_thread(connection) == b"good"
    monkeypatch.undo()
    answer(theirs, good)
    assert on_loop(connection) == b"good"


def test_all_is_written_where_no_thread_can_be_started(connected: Connected, no_threads: Callable[[], None]) -> None:
    connection, theirs = connected
    no_threads()
    for _ in range(2):
        # More than a socket takes before somebody reads.
        large = answer(theirs, good)
        assert connection.call("a.Service", "Method", bytes(8_000_000), LIMIT, []) == b"good"
        large.join(LIMIT)


@each_way
def test_a_call_in_the_middle_of_another_one_of_the_same_thread(
    connected: Connected, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, theirs = connected
    failed_as: list[CallError] = []
    put = connection._writer.put

    def interrupted(data: bytes) -> None:
        # As a signal's handler, or an object's `__del__`, would interrupt it.
        if not failed_as:
            with pytest.raises(CallError) as caught:
                on_thread(connection)
            failed_as.append(caught.value)
        put(data)

    monkeypatch.setattr(connection._writer, "put", interrupted)
    answer(theirs, good)
    assert ask(connection) == b"good"
    assert failed_as[0].code is Code.UNAVAILABLE and "while another call" in failed_as[0].details
    # Anywhere else it is made.
    answer(theirs, good)
    with connection._lock:
        assert on_thread(connection) == b"good"
