"""Connections whose small writes go out together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

#: Bytes that wait for the loop to come round; what is more goes out at once.
_LIMIT = 64 * 1024


class Corked:
    """A transport that sends what is written in one turn of its loop as one piece.

    A web server writes a response's head and its body by themselves. Sent together they cost half, here and at the
    host.
    """

    __slots__ = ("_loop", "_pieces", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Sends bytes with what else is written in this turn, or at once where that is much."""
        if self._size + len(data) > _LIMIT:
            self._flush()
            self._transport.write(data)
        elif data:
            if not self._pieces:
                self._loop.call_soon(self._flush)
            self._pieces.append(data)
            self._size += len(data)

    def writelines(self, lines: Iterable[bytes]) -> None:
        """Writes one piece after the other."""
        for line in lines:
            self.write(line)

    def _flush(self) -> None:
        if self._pieces:
            data = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
            self._pieces, self._size = [], 0
            self._transport.write(data)

    def write_eof(self) -> None:
        """Ends this direction behind all that has been written."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Closes the connection behind all that has been written."""
        self._flush()
        self._transport.close()


class CorkedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's HTTP on such connections."""

    def connection_made(self, transport: Any) -> None:
        """Called by the loop."""
        corked: Any = Corked(transport)
        super().connection_made(corked)
