"""A WebSocket on the web server: an ASGI application's, which the plugin's end closes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from .._body import ClientDisconnected
from ..logs import own_logger
from .asgi_transport import scope_of
from .exchange import Receive, Send, is_lost
from .handler import RequestHandler
from .told import Told

_log = own_logger("effect_plugin")

#: Close codes (RFC 6455, 7.4.1).
_GOING_AWAY, _INTERNAL_ERROR = 1001, 1011

#: Messages of a client that wait for the application.
_READ_AHEAD = 16

#: Seconds after which an application is cancelled that has not received that its client has gone.
_LEAVE_GRACE = 1.0


class WebSocket:
    """One connection, in uvicorn's task of it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        task = asyncio.current_task()
        assert task is not None
        self.task: asyncio.Task[Any] = task
        # Read ahead, so that the client's leaving is noticed by an application that does not receive.
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_READ_AHEAD)
        self._leaving: asyncio.TimerHandle | None = None
        self._accepted = False
        self._closed = False
        self.given_up = False

    async def serve(self, handler: RequestHandler, scope: dict[str, Any], told: Told) -> None:
        """Serves the connection by the application that is the plugin's handler; others have no WebSockets."""
        told.enter_trace()
        if handler.application is None:
            # Answered 403, as ASGI has it.
            await self._send({"type": "websocket.close"})
            return
        scheme = "wss" if told.scheme == "https" else "ws"
        pump = asyncio.ensure_future(self._pump())
        try:
            await handler.application(scope_of(handler, scope, told, scheme), self._received, self._sent)
        except (ClientDisconnected, asyncio.CancelledError):
            if not self.given_up:
                raise
        except Exception:
            if not self._accepted or self._closed:
                # uvicorn answers 500, and logs it.
                raise
            _log.exception("ServeHTTP failed: WebSocket %s", told.raw_path.decode("latin-1"))
            await self._close(_INTERNAL_ERROR)
        finally:
            pump.cancel()
            if self._leaving is not None:
                self._leaving.cancel()

    async def _pump(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._closed = True
                self._leaving = asyncio.get_running_loop().call_later(_LEAVE_GRACE, self.give_up)
            await self._incoming.put(message)
            if self._leaving is not None:
                return

    async def _received(self) -> dict[str, Any]:
        message = await self._incoming.get()
        if message["type"] == "websocket.disconnect" and self._leaving is not None:
            # It knows, and may take its time.
            self._leaving.cancel()
        return message

    async def _sent(self, message: dict[str, Any]) -> None:
        self.given_up = self.given_up or is_lost(self._send)
        if self.given_up:
            raise ClientDisconnected("the client has gone, or the plugin ends")
        await self._send(message)
        if message["type"] == "websocket.accept":
            self._accepted = True
        elif message["type"] in ("websocket.close", "websocket.http.response.start"):
            self._closed = True

    async def go_away(self) -> None:
        """The plugin ends: the client is told."""
        self.given_up = True
        if not self._closed:
            await self._close(_GOING_AWAY)

    def give_up(self) -> None:
        """Cancels what serves the connection."""
        self.given_up = True
        self.task.cancel()

    async def _close(self, code: int) -> None:
        self._closed = True
        with contextlib.suppress(Exception):
            await self._send({"type": "websocket.close", "code": code})
