"""Calls of the host over ttrpc, whatever it answers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Callable

import pytest

from effect_plugin._status import CallError, Code
from effect_plugin._ttrpc import wire
from effect_plugin._ttrpc.client import HostConnection

from .conftest import LIMIT
from .ttrpc_host import DATA, RESPONSE, Response, failed, frame, read_frame

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
