"""GRPCStdio: what a plugin prints after the handshake, for its host."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import os
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, TextIO, cast

from .._descriptors import message_class
from .._status import CallError, Code

_StdioData = message_class("plugin.StdioData")

#: The channels of the stream.
STDOUT, STDERR = _StdioData.STDOUT, _StdioData.STDERR

#: Bytes kept while nobody reads: a host opens the stream at once, but a busy machine may take its time.
_UNREAD_LIMIT = 1024 * 1024

#: Bytes kept for a host that reads, but more slowly than the plugin prints.
_READ_LIMIT = 16 * 1024 * 1024

#: Bytes in one message (go-plugin 1.8, `grpc_stdio.go`).
_CHUNK = 1024


class Stdio:
    """Keeps what is printed until the host reads it; `print` never waits. Writers may be used from every thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._reading = False
        self._lost = False
        self._ended = False
        self._changed = asyncio.Event()

    @contextlib.contextmanager
    def redirected(self) -> Iterator[None]:
        """Keeps what is printed in the block."""
        with contextlib.redirect_stdout(self.writer(STDOUT)), contextlib.redirect_stderr(self.writer(STDERR)):
            yield

    def writer(self, channel: int) -> TextIO:
        """A stand-in for `sys.stdout` or `sys.stderr`; bytes written to its `.buffer` arrive as they are."""
        raw = _Channel(self, channel)
        return io.TextIOWrapper(cast("Any", raw), "utf-8", "backslashreplace", newline="\n", write_through=True)

    def write(self, channel: int, data: bytes) -> None:
        """Keeps what was written. Where there is too much, what comes is dropped until all that is kept was read."""
        with self._lock:
            limit = _READ_LIMIT if self._reading else _UNREAD_LIMIT
            fits = not self._lost and self._size + len(data) <= limit
            if fits:
                self._chunks.append((channel, data))
                self._size += len(data)
            elif not self._lost:
                self._lost = True
                with contextlib.suppress(OSError):
                    os.write(2, b"the host does not read what the plugin prints: some of it is lost\n")
        if fits:
            self._wake()

    def end(self) -> None:
        """Nothing more will be printed: the stream ends once all is sent."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)

    def _take(self) -> list[Any]:
        with self._lock:
            chunks, self._size, self._lost = list(self._chunks), 0, False
            self._chunks.clear()
        written = [
            (channel, b"".join(data for _, data in group))
            for channel, group in itertools.groupby(chunks, lambda c: c[0])
        ]
        return [
            _StdioData(channel=channel, data=data[start : start + _CHUNK])
            for channel, data in written
            for start in range(0, len(data), _CHUNK)
        ]

    async def stream(self, request: Any, context: Any) -> None:
        """The rpc `GRPCStdio.StreamStdio`. What is sent is gone, so there is one reader at a time."""
        if self._reading:
            raise CallError(Code.FAILED_PRECONDITION, "the plugin's output is being read already")
        self._reading = True
        try:
            while True:
                self._changed.clear()
                for message in self._take():
                    await context.write(message)
                if self._ended and not self._chunks:
                    return
                await self._changed.wait()
        finally:
            self._reading = False


class _Channel(io.RawIOBase):
    """The bytes under a writer."""

    def __init__(self, stdio: Stdio, channel: int) -> None:
        self._stdio = stdio
        self._channel = channel

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        # A child that is given this stream writes where the descriptor leads: to the process' own stderr.
        return 2 if self._channel == STDERR else 1

    def write(self, data: Any) -> int:
        self._stdio.write(self._channel, bytes(data))
        return len(data)
