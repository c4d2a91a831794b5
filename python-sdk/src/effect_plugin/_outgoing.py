"""A response on its way from its handler to the transport."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Callable

from ._body import ClientDisconnected

#: Bytes that may wait for the client before `write` waits too. A handler whose response is smaller does not keep its
#: thread for a client that is slow.
HIGH_WATER = 1024 * 1024

#: Seconds for what was written to reach the client before a response that has failed is cut off.
CUT_PATIENCE = 2.0

#: From so many bytes on the transport is woken, also while it has not been told to send at once.
_WORTH_SENDING = 64 * 1024

#: A status, and headers with their values.
Head = tuple[int, list[tuple[str, list[str]]]]


class Outgoing:
    """What a handler has written and the transport has not sent yet. Handlers may write from any thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        wake: Callable[[], object],
        stall_limit: float,
        *,
        at_once: bool,
    ) -> None:
        """Made on the thread of its loop, which only a response without a transport lacks.

        `wake` is called on the loop when there is something to send: with each write when `at_once`, otherwise when
        there is much of it. The transport may change that, and sends what is left when the handler has returned.
        """
        self._loop = loop
        self._thread = threading.get_ident()
        self._wake = wake
        self._woken = False
        self._stall_limit = stall_limit
        self.at_once = at_once
        #: Status and headers, once they are fixed.
        self.head: Head | None = None
        #: Pieces of the body; None asks for what precedes it to be handed on.
        self.pieces: deque[bytes | None] = deque()
        #: Whether all of the response has been written.
        self.ended = False
        #: Whether the response ends here, unfinished.
        self.cut_off = False
        self._closed = False
        self._bytes = 0
        self._sent = 0
        self._lock = threading.Lock()
        #: For threads that wait for the client; few ever do.
        self._room: threading.Condition | None = None
        self._draining: list[asyncio.Future[None]] = []

    def put(self, piece: bytes | None = b"", *, head: Head | None = None, last: bool = False) -> None:
        """Adds to the response. On a thread it waits while the client is slow. ClientDisconnected when it has gone."""
        with self._lock:
            if self._bytes >= HIGH_WATER and threading.get_ident() != self._thread:
                self._wait_for_room()
            if self._closed:
                raise ClientDisconnected("the client has gone")
            if self.ended:
                raise RuntimeError("the response has ended")
            if head is not None:
                self.head = head
            if piece != b"":
                self.pieces.append(piece)
                self._bytes += len(piece or b"")
            self.ended = last
            wanted = self.at_once or piece is None or self._bytes >= _WORTH_SENDING
        if wanted:
            self.wake()

    def _wait_for_room(self) -> None:
        if self._room is None:
            self._room = threading.Condition(self._lock)
        while not self._closed and self._bytes >= HIGH_WATER:
            sent = self._sent
            if not self._room.wait(self._stall_limit) and self._sent == sent and not self._closed:
                self._closed = True
                raise ClientDisconnected(f"the client has taken nothing of its response for {self._stall_limit:g} s")

    @property
    def waiting(self) -> int:
        """Bytes that have not been sent."""
        return self._bytes

    def wake(self) -> None:
        """Tells the transport that there is something to send."""
        if threading.get_ident() == self._thread:
            self._wake()
        elif not self._woken and self._loop is not None:
            self._woken = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake_on_loop)

    def _wake_on_loop(self) -> None:
        self._woken = False
        self._wake()

    def cut(self) -> None:
        """Ends the response where it is, without its end."""
        self.cut_off = True
        self.wake()

    def sent(self, size: int) -> None:
        """So many bytes have been taken over by the transport."""
        with self._lock:
            self._bytes -= size
            self._sent += 1
            if self._room is not None:
                self._room.notify_all()
        if self._bytes < HIGH_WATER:
            self._wake_draining()

    def close(self) -> None:
        """Nobody reads any more: writers are woken and told."""
        with self._lock:
            self._closed = True
            if self._room is not None:
                self._room.notify_all()
        self._wake_draining()

    def leave(self) -> None:
        """The transport has nothing more to do with it. That ends the references of the two to each other."""
        self.close()
        self._wake = _nothing

    async def drain(self) -> None:
        """Waits until the client has caught up."""
        self.wake()
        while self._bytes >= HIGH_WATER and not self._closed:
            waiting = asyncio.get_running_loop().create_future()
            self._draining.append(waiting)
            await waiting
        if self._closed:
            raise ClientDisconnected("the client has gone")

    def _wake_draining(self) -> None:
        draining, self._draining = self._draining, []
        for waiting in draining:
            if not waiting.done():
                waiting.set_result(None)


def _nothing() -> None:
    pass
