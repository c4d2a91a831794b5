"""Calls that stream, as a host has made them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .._status import CallError, Code
from . import wire
from .calls import CoroutineCall, Rpc
from .streams import Inbox

if TYPE_CHECKING:
    from .server import Server

#: Calls of a connection that stream at once, whose handlers have not returned.
MAX_OPEN = 1000

#: Messages that are sent together, where more follow at once. Others run on the loop after so many.
_TOGETHER = 16

#: Seconds between two looks at whether the host takes what is sent, when it has not.
_LOOK = 0.005


class StreamCall(CoroutineCall):
    """A call whose requests, responses or both are a stream; the rpc decides, whatever the caller's flags say."""

    def __init__(self, rpc: Rpc, server: Server, stream: int, asked: Any) -> None:
        super().__init__(rpc, server, stream, asked)
        self._written = 0
        self._inbox = Inbox(server.backlog, rpc.home, self._overflow)
        if not rpc.takes_stream:
            self._inbox.push(asked.payload)
            self._inbox.end()
        elif asked.payload:
            # As containerd's server has it.
            self._inbox.push(asked.payload)

    def begin(self) -> bool:
        if len(self.server.open_streams) >= MAX_OPEN:
            self.server.fail(self, Code.RESOURCE_EXHAUSTED, f"{MAX_OPEN} streams are open already")
            self._inbox.drop()
            return False
        self.server.open_streams.add(self)
        return super().begin()

    def receive(self, message: bytes | None, *, is_last: bool) -> str | None:
        if message is not None:
            if self._inbox.has_ended:
                return "a message after its last"
            self._inbox.push(message)
        if is_last:
            self._inbox.end()
        return None

    def _overflow(self) -> None:
        self.server.fail(self, Code.RESOURCE_EXHAUSTED, "the stream's messages were not read")
        self.server.flush()
        self.cancel()

    def start(self) -> None:
        super().start()
        if self._task is None:
            self.server.open_streams.discard(self)
        else:
            self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.server.open_streams.discard(self)
        self._end_of_requests("the call has ended")

    def cancel(self) -> None:
        self._end_of_requests("the call was cancelled")
        super().cancel()

    def _end_of_requests(self, why: str) -> None:
        self._inbox.end(CallError(Code.CANCELLED, why))
        self._inbox.drop()

    async def _answer(self) -> None:
        rpc = self._rpc
        response = await rpc.function(self if rpc.takes_stream else await self.__anext__(), self)
        if rpc.answers_stream:
            self.server.end(self)
        else:
            self.server.succeed(self, rpc.encode(response))

    # -- as the functions of services see it ---------------------------------------------------------------------------

    def __aiter__(self) -> StreamCall:
        return self

    async def __anext__(self) -> Any:
        """The next request. Raises CallError when the call has ended, or what has come is none."""
        message = await self._inbox.receive()
        if message is None:
            raise StopAsyncIteration
        return self._request(message)

    async def write(self, response: Any) -> None:
        """Sends a response, and waits while the host takes none.

        Raises CallError when the call has ended, and for a response that is too large.
        """
        server, writer = self.server, self.server.writer
        message = self._rpc.encode(response)
        if len(message) > server.limit:
            raise CallError(Code.RESOURCE_EXHAUSTED, wire.too_large(len(message), server.limit))
        if server.has(self):
            writer.put(wire.frame(self.stream, wire.DATA, message))
        self._written += 1
        if self._written % _TOGETHER:
            server.flush()
        else:
            writer.flush()
            await asyncio.sleep(0)
        # There are more to flush as long as another thread is just sending.
        while (writer.is_full or writer.count >= _TOGETHER) and server.has(self):
            await asyncio.sleep(_LOOK)
            writer.flush()
        if not server.has(self):
            # Mostly its task is cancelled by this.
            await asyncio.sleep(0)
            raise CallError(Code.CANCELLED, "the call has ended")
