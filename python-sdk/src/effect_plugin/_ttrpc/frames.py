"""Frames over a socket: read by whoever has the lead, written by any thread without waiting."""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import threading
from collections import deque

from .wire import DATA, HEADER, REQUEST, Frame

#: Bytes that are read at once.
_CHUNK = 64 * 1024

#: The same within a large frame.
_LARGE_CHUNK = 1024 * 1024

#: Bytes that may wait for a peer that takes nothing, before nothing more is taken of it.
_BACKLOG = 4 * 1024 * 1024


class GarbledError(Exception):
    """What comes can't be frames: nobody knows where the next one begins."""


class FrameReader:
    """The frames of a socket, for one thread at a time."""

    def __init__(self, connection: socket.socket, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self._rest = b""
        #: Whether `read` is to go on from the rest, before it reads more.
        self._is_left = False
        self._poll: select.poll | None = None

    def wait(self, seconds: float | None) -> bool:
        """Waits until there is something to read, so many seconds at most; whether there is."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._connection, select.POLLIN)
        return bool(self._poll.poll(None if seconds is None else max(seconds, 0) * 1000))

    def read(self) -> list[Frame]:
        """The next frames; waits for the first. Raises EOFError, OSError, and GarbledError."""
        if self._is_left:
            self._is_left = False
            return self._frames_of(self._rest)
        data = self._receive(_CHUNK)
        return self._frames_of(self._rest + data if self._rest else data)

    def read_at_once(self) -> list[Frame] | None:
        """The frames that are there; None where `read` has to go on, which waits or fails."""
        try:
            data = self._connection.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        data = self._rest + data if self._rest else data
        position, size = 0, len(data)
        while size - position >= HEADER.size:
            length, _, _, _ = HEADER.unpack_from(data, position)
            if length > self._limit or (length > _CHUNK and position + HEADER.size + length > size):
                self._rest, self._is_left = data, True
                return None
            position += HEADER.size + length
        return self._frames_of(data)

    def _frames_of(self, data: bytes) -> list[Frame]:
        position, size, frames = 0, len(data), []
        while size - position >= HEADER.size:
            length, stream, kind, flags = HEADER.unpack_from(data, position)
            begin = position + HEADER.size
            position = begin + length
            if length > self._limit:
                if not REQUEST <= kind <= DATA:
                    raise GarbledError(f"a frame of the unknown type {kind} with {length} bytes")
                self._skip(position - size)
                frames.append(Frame(stream, kind, None, flags))
            elif position > size:
                if length <= _CHUNK:
                    position = begin - HEADER.size
                    break
                frames.append(Frame(stream, kind, self._rest_of(data[begin:], position - size), flags))
            else:
                frames.append(Frame(stream, kind, data[begin:position], flags))
        self._rest = data[position:]
        return frames

    def _receive(self, most: int) -> bytes:
        while True:
            try:
                data = self._connection.recv(most)
            except BlockingIOError:
                # An event loop that has read here has made the socket one that does not block.
                self.wait(None)
                continue
            if not data:
                raise EOFError("the other side has closed the connection")
            return data

    def _rest_of(self, begun: bytes, missing: int) -> bytes:
        pieces = [begun]
        while missing > 0:
            piece = self._receive(min(missing, _LARGE_CHUNK))
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _skip(self, missing: int) -> None:
        while missing > 0:
            missing -= len(self._receive(min(missing, _LARGE_CHUNK)))


class FrameWriter:
    """Writes frames to a socket in the order in which they are put, many at once. For any thread; nothing here waits.

    What the socket does not take at once, a thread writes.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._frames: deque[bytes] = deque()
        self._sending = threading.Lock()
        self._stalled: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._backlog = 0
        self._has_thread = False
        self._broken = False

    def put(self, frame: bytes) -> None:
        """Adds a frame, which the next `flush` writes."""
        self._frames.append(frame)

    @property
    def count(self) -> int:
        """How many frames there are to flush."""
        return len(self._frames)

    def flush(self) -> None:
        """Writes what has been put, or leaves it to who is just doing that."""
        frames = self._frames
        while frames and self._sending.acquire(False):
            try:
                self._send(self._taken())
            finally:
                self._sending.release()

    def _taken(self) -> bytes:
        frames = self._frames
        pieces = []
        with contextlib.suppress(IndexError):
            while True:
                pieces.append(frames.popleft())
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _send(self, data: bytes) -> None:
        if self._broken or not data:
            return
        sent = 0
        if not self._backlog:
            try:
                sent = self._connection.send(data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
            except OSError:
                # Whoever reads learns of it.
                self._broken = True
                return
            if sent == len(data):
                return
        with self._changed:
            self._backlog += len(data) - sent
        self._stalled.put(memoryview(data)[sent:])
        if not self._has_thread:
            try:
                threading.Thread(target=self._write_backlog, name="ttrpc-writer", daemon=True).start()
                self._has_thread = True
            except RuntimeError:
                # Where no thread can be started, whoever sends waits.
                self._write_stalled(self._stalled.get())

    def _write_backlog(self) -> None:
        while (data := self._stalled.get()) is not None:
            self._write_stalled(data)

    def _write_stalled(self, data: memoryview | None) -> None:
        if data is None or self._broken:
            return
        poll = select.poll()
        poll.register(self._connection, select.POLLOUT)
        sent = 0
        while sent < len(data) and not self._broken:
            try:
                sent += self._connection.send(data[sent:], socket.MSG_DONTWAIT)
            except BlockingIOError:
                poll.poll()
            except OSError:
                self._broken = True
        # While there is a backlog nobody else sends.
        with self._changed:
            self._backlog -= len(data)
            self._changed.notify_all()

    @property
    def is_full(self) -> bool:
        """Whether the peer takes too little."""
        return self._backlog > _BACKLOG and not self._broken

    def wait_for_room(self, seconds: float | None = None) -> bool:
        """Waits while the peer takes too little, so many seconds at most; whether there is room."""
        if not self.is_full:
            return True
        with self._changed:
            return self._changed.wait_for(lambda: not self.is_full, seconds)

    @property
    def is_done(self) -> bool:
        """Whether all that has been flushed is written, or can't be any more."""
        return self._broken or not (self._frames or self._backlog)

    def close(self) -> None:
        """Ends the writing."""
        self._broken = True
        self._frames.clear()
        self._stalled.put(None)
        with self._changed:
            self._changed.notify_all()
