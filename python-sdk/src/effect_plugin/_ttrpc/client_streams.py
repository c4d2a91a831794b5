"""Streams of the host that coroutines have opened."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from .._loops import start_task
from .._status import CallError, Code
from . import wire
from .asked import Asked, LoopCalls, Pending
from .frames import FrameWriter
from .streams import Backlog, Inbox

if TYPE_CHECKING:
    from .client import HostConnection

#: Messages that are sent together. Others run on the loop after so many.
_TOGETHER = 16

#: Seconds between two looks at whether the host takes what is sent, when it has not.
_LOOK = 0.005


class StreamRpc(NamedTuple):
    """An rpc whose requests, responses or both are a stream."""

    service: str
    name: str
    encode: Callable[[Any], bytes]
    read: Callable[[bytes], Any]
    takes_stream: bool
    answers_stream: bool


class ClientStream(Pending):
    """A stream, for coroutines of the loop on which it was opened. One of them receives at a time."""

    def __init__(
        self,
        rpc: StreamRpc,
        connection: HostConnection,
        writer: FrameWriter,
        backlog: Backlog,
        calls: LoopCalls,
        end: float,
    ) -> None:
        self._rpc = rpc
        self._connection = connection
        self._writer = writer
        self._calls = calls
        self._inbox = Inbox(backlog, calls.home, self._overflow)
        self._sent = 0
        #: Whether it has a stream, or has ended.
        self._has_begun = asyncio.Event()
        #: Done when the call has ended.
        self.ended: asyncio.Future[None] = calls.loop.create_future()
        self._is_closed = not rpc.takes_stream
        self.end = end
        self.flags = wire.REMOTE_OPEN if rpc.takes_stream else wire.REMOTE_CLOSED

    def open(self, asked: Asked) -> None:
        """Puts it on its way, as soon as the host takes what is sent. What keeps it from that is what it fails with."""
        self._calls.add(self)
        if self._writer.is_full:
            start_task(functools.partial(self._open_later, asked))
        else:
            self._open(asked)

    async def _open_later(self, asked: Asked) -> None:
        while self._writer.is_full and not self.is_done:
            await asyncio.sleep(_LOOK)
        self._open(asked)

    def _open(self, asked: Asked) -> None:
        if self.is_done:
            return
        try:
            self._connection.open(self, asked)
        except CallError as error:
            self._connection.give_up(self, error)
        self._calls.flush_soon()

    # -- for coroutines ------------------------------------------------------------------------------------------------

    async def send(self, request: Any) -> None:
        """Sends a request, and waits while the host takes none. Raises CallError when the call has ended."""
        message = self._rpc.encode(request)
        if len(message) > self._connection.limit:
            text = wire.too_large(len(message), self._connection.limit)
            self._connection.give_up(self, CallError(Code.RESOURCE_EXHAUSTED, text))
        await self._may_send()
        if self._is_closed:
            raise CallError(Code.INTERNAL, "nothing more can be sent after the last request")
        self._put(wire.frame(self.stream or 0, wire.DATA, message))
        self._sent += 1
        if not self._sent % _TOGETHER:
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Says that there are no more requests."""
        if not self._is_closed and not self.is_done:
            await self._may_send()
            self._is_closed = True
            self._put(wire.end_of_messages(self.stream or 0))

    async def _may_send(self) -> None:
        await self._has_begun.wait()
        # There are more to flush as long as another thread is just sending.
        while (self._writer.is_full or self._writer.count >= _TOGETHER) and not self.is_done:
            await asyncio.sleep(_LOOK)
            self._writer.flush()
        if self.is_done:
            raise self.error or CallError(Code.UNKNOWN, "the call has ended, nothing more can be sent")

    def _put(self, frame: bytes) -> None:
        self._writer.put(frame)
        self._calls.flush_soon()

    async def response(self) -> Any:
        """Ends the requests, and answers the one response of an rpc that has one. Raises CallError."""
        if not self.is_done:
            await self.close()
        return await self.__anext__()

    def __aiter__(self) -> ClientStream:
        return self

    async def __anext__(self) -> Any:
        """The next response. Raises CallError when the call has failed, after what has come before."""
        message = await self._inbox.receive()
        if message is None:
            raise StopAsyncIteration
        try:
            return self._rpc.read(message)
        except Exception:
            error = CallError(Code.INTERNAL, "Exception deserializing response!")
            self._connection.give_up(self, error)
            raise error from None

    def cancel(self) -> None:
        """Gives the call up, unless it has ended; the host is told."""
        self._inbox.drop()
        self._connection.give_up(self, CallError(Code.CANCELLED, "the call was cancelled"))

    def abandon(self) -> None:
        """The same for any thread, of whoever can't receive any more."""
        if not self.is_done or self._inbox.messages:
            self._calls.home.post(self.cancel)

    async def __aenter__(self) -> ClientStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    # -- for the connection --------------------------------------------------------------------------------------------

    def begun(self) -> None:
        """See `Pending`."""
        self._calls.home.post(self._has_begun.set)

    def receive(self, message: bytes | None, *, is_last: bool) -> None:
        """See `Pending`."""
        if message is not None:
            self._inbox.push(message)
        if is_last:
            self.payload = b""

    def wake(self) -> None:
        """See `Pending`: it has ended."""
        if self.error is None and (self.payload or not self._rpc.answers_stream):
            self._inbox.push(self.payload or b"")
        self._inbox.end(self.error)
        self._calls.home.post(self._ended)

    def _ended(self) -> None:
        self._calls.remove(self)
        self._has_begun.set()
        if not self.ended.done():
            self.ended.set_result(None)

    def is_over(self) -> None:
        """See `Watched`."""
        self._connection.give_up(self, CallError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def _overflow(self) -> None:
        error = CallError(Code.RESOURCE_EXHAUSTED, "the stream's messages were not read")
        self._connection.give_up(self, error)
