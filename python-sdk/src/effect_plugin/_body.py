"""A request's body on its way from the transport to whoever reads it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable
from typing import Callable

#: Bytes of a body that are read before anybody asks for them: what is read no more is not taken from the client either.
READ_AHEAD = 256 * 1024

#: Seconds for which a handler on a thread waits for a client that takes nothing of its response, or sends nothing of
#: its request.
STALL_LIMIT = 30.0

#: A piece of a body, and whether more follows; None when the client has gone.
Source = Callable[[], Awaitable["tuple[bytes, bool] | None"]]


class ClientDisconnected(ConnectionError):
    """The client has gone, or takes or sends nothing any more: nobody reads the response."""


class Incoming:
    """A request's body. One task reads it from the transport, whoever wants it waits here.

    So a reader that is cancelled loses nothing, neither a piece nor the stream, and the client's leaving is noticed
    while nobody reads. The task starts with the first reader, or with `watch`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        source: Source | None,
        on_gone: Callable[[], object],
        *,
        watches: bool = False,
    ) -> None:
        """Made on the thread of its loop; a body that is complete needs neither loop nor `source`.

        `watches` says that the source tells of the client's leaving even after the body's end, and that it may be
        cancelled. `on_gone` is called when the client has gone, once.
        """
        self._source = source
        self._on_gone = on_gone
        self._watches = watches
        self._loop = loop
        self._thread = threading.get_ident()
        self._pieces: deque[bytes] = deque()
        self._bytes = 0
        self._ended = source is None
        self._gone = False
        self._pump: asyncio.Task[None] | None = None
        self._is_watched = False
        self._is_reading = False
        self._readers: list[asyncio.Future[None]] = []
        self._room: asyncio.Future[None] | None = None
        self._changed = threading.Condition()

    @property
    def gone(self) -> bool:
        """Whether the client has gone, as far as is known."""
        return self._gone

    @property
    def is_on_loop(self) -> bool:
        """Whether the caller runs on the loop, and so must not wait for it."""
        # Cheaper than get_running_loop, which asks the system for the process' id up to Python 3.11.
        return threading.get_ident() == self._thread

    def at_end(self) -> bool:
        """Whether all of the body has been read."""
        return self._ended and not self._pieces

    def feed(self, piece: bytes, *, more: bool = True) -> None:
        """A piece that the transport has brought along."""
        with self._changed:
            if piece:
                self._pieces.append(piece)
                self._bytes += len(piece)
            self._ended = self._ended or not more
            self._changed.notify_all()
        self._wake_readers()

    def watch(self) -> None:
        """Reads ahead from here on, and notices when the client goes."""
        self._is_watched = True
        if self._is_reading:
            # The reader will do it, and notices as well until then.
            return
        if self._pump is None and self._source is not None and not self._gone and (self._watches or not self._ended):
            self._pump = asyncio.ensure_future(self._run(self._source))

    def leave(self) -> None:
        """The client has gone: readers are told."""
        with self._changed:
            if self._gone:
                return
            self._gone = True
            self._changed.notify_all()
        self._wake_readers()

    def close(self) -> None:
        """Ends the reading; nobody wants the rest."""
        self.leave()
        if self._pump is not None:
            self._pump.cancel()

    def take(self) -> bytes | None:
        """A piece that is there, empty at the end; None when there is none yet. ClientDisconnected when none comes."""
        with self._changed:
            return self._take()

    def _take(self) -> bytes | None:
        if self._pieces:
            piece = self._pieces.popleft()
            full = self._bytes >= READ_AHEAD
            self._bytes -= len(piece)
            if full and self._bytes < READ_AHEAD:
                self._soon(self._let_pump_go_on)
            return piece
        if self._ended:
            return b""
        if self._gone:
            # Half a body must not pass for a whole one.
            raise ClientDisconnected("the client has gone before its request was complete")
        return None

    async def read(self) -> bytes:
        """The next piece; empty at the end."""
        while (piece := self.take()) is None:
            if self._watches and not self._is_watched and not self._is_reading:
                # Nobody else wants it yet: no task is needed.
                await self._read_once()
                continue
            self.watch()
            reader = asyncio.get_running_loop().create_future()
            self._readers.append(reader)
            try:
                await reader
            finally:
                with contextlib.suppress(ValueError):
                    self._readers.remove(reader)
        return piece

    async def _read_once(self) -> None:
        assert self._source is not None
        self._is_reading = True
        try:
            # Of sources that watch, a cancelled read loses nothing.
            read = await self._source()
            if read is not None:
                self.feed(read[0], more=read[1])
            else:
                self.leave()
                self._on_gone()
        finally:
            self._is_reading = False
            if self._is_watched:
                self.watch()

    async def read_ahead(self, limit: int, pause: float | None) -> list[bytes] | None:
        """The whole body, which stays there for its readers as well.

        None when it is larger than `limit`, or when nothing has come of it for `pause` seconds.
        """
        seen: list[bytes] = []
        size = 0
        try:
            while size <= limit:
                piece = await (self.read() if pause is None else asyncio.wait_for(self.read(), pause))
                if not piece:
                    return seen
                seen.append(piece)
                size += len(piece)
        except asyncio.TimeoutError:
            pass
        finally:
            self._put_back(seen)
        return None

    def _put_back(self, pieces: list[bytes]) -> None:
        with self._changed:
            self._pieces.extendleft(reversed(pieces))
            self._bytes += sum(len(piece) for piece in pieces)

    def read_blocking(self, limit: float) -> bytes:
        """The next piece, for a thread. ClientDisconnected when none comes for so many seconds."""
        with self._changed:
            while (piece := self._take()) is None:
                self._soon(self.watch)
                if not self._changed.wait_for(lambda: self._pieces or self._ended or self._gone, limit):
                    raise ClientDisconnected(f"the client has sent nothing of its request for {limit:g} s")
            return piece

    async def _run(self, source: Source) -> None:
        while self._watches or not self._ended:
            if self._bytes >= READ_AHEAD:
                self._room = asyncio.get_running_loop().create_future()
                if self._bytes >= READ_AHEAD:
                    await self._room
                self._room = None
            read = await source()
            if read is None:
                self.leave()
                self._on_gone()
                return
            self.feed(read[0], more=read[1])

    def _soon(self, function: Callable[[], None]) -> None:
        """Calls a function on the loop, which may have ended."""
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function)

    def _let_pump_go_on(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _wake_readers(self) -> None:
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.done():
                reader.set_result(None)


def complete(body: bytes) -> Incoming:
    """A body that is there already."""
    incoming = Incoming(None, None, _nothing)
    incoming.feed(body)
    return incoming


def _nothing() -> None:
    pass
