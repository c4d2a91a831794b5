"""Connections whose small writes go out together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

#: Bytes up to which a write waits for the next one. More is worth a call of the system's of its own.
_LIMIT = 16 * 1024


class Corked:
    """A transport that sends a write together with the one behind it, if that follows in the same turn of its loop.

    A web server writes a response's head and its body by themselves. Sent together they cost half, here and at the
    host.
    """

    __slots__ = ("_held", "_loop", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held = b""
        #: Asked often, and sooner found here than by `__getattr__`.
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Sends bytes, with those that have waited for them; or has them wait."""
        if not data:
            return
        if self._held:
            held, self._held = self._held, b""
            # uvloop hands both to the system as they are.
            self._transport.writelines((held, data))
        elif len(data) > _LIMIT:
            self._transport.write(data)
        else:
            self._held = bytes(data)
            self._loop.call_soon(self._flush)

    def writelines(self, lines: Iterable[bytes]) -> None:
        """Writes one piece after the other."""
        for line in lines:
            self.write(line)

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

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
