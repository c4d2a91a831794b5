"""The private socket at which a plugin serves HTTP.

Its web server is loaded when somebody connects: to load it takes half as long as all else that a plugin does to start,
and many a plugin is never asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING

from .._lazy import loading
from .._sockets import share_with_group
from ..logs import own_logger
from .handler import RequestHandler

if TYPE_CHECKING:
    from .web_server import WebServer

_log = own_logger("effect_plugin")


class HttpSocket:
    """Listens, on the loop of the `handler`. The folder of `path` is this plugin's alone."""

    def __init__(self, handler: RequestHandler, path: str) -> None:
        self._handler = handler
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._starting: asyncio.Task[WebServer | None] | None = None

    def open(self) -> str:
        """Listens; answers the address, `unix:<path>`. OSError where it can't."""
        # Of an earlier process.
        self._remove()
        self._listener = listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(self._path)
            # Nobody can connect before it listens.
            os.chmod(self._path, 0o600)
            share_with_group(self._path)
            listener.listen()
            listener.setblocking(False)
            self._loop.add_reader(listener, self._connected)
        except BaseException:
            self._close()
            raise
        return f"unix:{self._path}"

    def _connected(self) -> None:
        """Somebody waits to be served, for the first time."""
        assert self._listener is not None
        self._loop.remove_reader(self._listener)
        self._starting = self._loop.create_task(self._start(self._listener))

    async def _start(self, listener: socket.socket) -> WebServer | None:
        try:
            with loading():
                from .web_server import WebServer

            server = WebServer(self._handler)
            await server.start(listener)
        except Exception:
            _log.exception("the plugin's web server could not start, so it serves no HTTP")
            # It must not take connections that nobody serves.
            self._close()
            return None
        return server

    async def stop(self) -> None:
        """Ends the web server, if there is one, and listens no more."""
        server = await self._starting if self._starting is not None else None
        if server is not None:
            await server.stop()
        self._close()

    def _close(self) -> None:
        if self._listener is not None:
            if self._starting is None:
                self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path)
