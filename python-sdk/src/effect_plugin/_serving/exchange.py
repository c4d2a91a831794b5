"""One request on the web server: its client's leaving, and an answer that keeps HTTP's rules."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable
from typing import Any, Callable

from .._body import ClientDisconnected, Incoming
from .._outgoing import CUT_PATIENCE
from ..http import check_status, is_header

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

#: Statuses of responses without a body (RFC 9110, 6.4.1).
_WITHOUT_BODY = {204, 304}

#: Headers that are about the connection, which is the web server's (RFC 9110, 7.6.1).
_OF_CONNECTION = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}


def is_lost(send: Send) -> bool:
    """Whether uvicorn has lost the connection that this sends to, or is about to be told.

    `receive` tells of it only behind all that has come, which nobody may read; `send` does not, so that who only sends
    would never let the loop go on.
    """
    connection = getattr(send, "__self__", None)
    transport = getattr(connection, "transport", None)
    return getattr(connection, "disconnected", False) or (transport is not None and transport.is_closing())


class Exchange:
    """A request and its response, between uvicorn and what answers it, in uvicorn's task of the request."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, method: str, receive: Receive, send: Send, has_body: bool
    ) -> None:
        self.loop = loop
        self._receive = receive
        self._send = send
        self._is_head = method == "HEAD"
        self._bodyless = self._is_head
        task = asyncio.current_task(loop)
        assert task is not None
        self.task: asyncio.Task[Any] = task
        self.has_body = has_body
        self._body: Incoming | None = None
        #: Whether the head has been sent.
        self.started = False
        #: Whether all of the response has been sent.
        self.answered = False
        #: Whether the request has been cancelled, because its client has gone or the plugin ends.
        self.given_up = False
        #: Called when the request turns out to be no quick one.
        self.on_linger: Callable[[], object] | None = None
        self._over: asyncio.Future[None] | None = None
        self._is_old = False
        self._lingers = False

    @property
    def body(self) -> Incoming:
        """The request's body, and whether the client is there."""
        if self._body is None:
            self._body = Incoming(self.loop, self._next_piece, self._client_gone, watches=True)
            if not self.has_body:
                self._body.feed(b"", more=False)
        return self._body

    @property
    def client_gone(self) -> bool:
        """Whether the client has gone, as far as is known."""
        return (self._body is not None and self._body.gone) or is_lost(self._send)

    def grow_older(self) -> None:
        """Called now and then; with the second time the request is no quick one."""
        if self._is_old and not self._lingers:
            self._lingers = True
            self.body.watch()
            if self.on_linger is not None:
                self.on_linger()
        self._is_old = True

    async def _next_piece(self) -> tuple[bytes, bool] | None:
        message = await self._receive()
        if message["type"] != "http.request":
            return None
        return message.get("body", b""), message.get("more_body", False)

    def _client_gone(self) -> None:
        if not self.answered:
            self.give_up()

    def give_up(self) -> None:
        """Cancels what answers the request."""
        self.given_up = True
        self._end()
        self.task.cancel()

    def _end(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def until_over(self) -> None:
        """Waits until the response has ended, or its client has gone."""
        if not self.answered and not self.given_up:
            self.body.watch()
            self._over = self._over or self.loop.create_future()
            await asyncio.shield(self._over)

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Sends the head. Raises ValueError for what HTTP does not have."""
        check_status(status)
        self._bodyless = self._is_head or status in _WITHOUT_BODY
        pairs = []
        length: bytes | None = None
        for name, value in headers:
            if not is_header(name, value):
                raise ValueError(f"HTTP has no such header: {name!r}: {value!r}")
            lower = name.lower()
            if lower == b"content-length":
                if not value.isdigit() or length not in (None, value):
                    raise ValueError(f"HTTP has no such length: {value!r}, beside {length!r}")
                is_wanted, length = length is None and status not in _WITHOUT_BODY, value
            else:
                is_wanted = lower not in _OF_CONNECTION
            if is_wanted:
                pairs.append((name, value))
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def write(self, piece: bytes, *, last: bool) -> None:
        """Sends a piece of the body; waits while the client is slow. ClientDisconnected when it has gone."""
        if not self.answered and self.client_gone:
            raise ClientDisconnected("the client has gone")
        if self._bodyless:
            piece = b""
        await self._send({"type": "http.response.body", "body": piece, "more_body": not last})
        if last:
            self.answered = True
            self._end()

    @property
    def says_its_length(self) -> bool:
        """Whether the length of a response that is all there is the body's."""
        return not self._bodyless

    async def fail(self) -> None:
        """Ends a response that has failed: with a 500 where nothing of it has been sent, or cut off."""
        if self.answered or self.client_gone:
            return
        if self.started:
            await self.cut_off()
            return
        await self.start(500, [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"21")])
        await self.write(b"Internal Server Error", last=True)

    async def cut_off(self) -> None:
        """Ends the connection after what has been sent, without the response's end."""
        if self.answered or self.client_gone:
            return
        self.answered = True
        self.body.close()
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if transport is None:
            # Then uvicorn itself closes it, with a traceback.
            raise RuntimeError("the response was cut off")
        transport.close()
        if not await self._closed():
            transport.abort()
            await self._closed()

    async def until_known(self) -> None:
        """Waits until uvicorn knows that the client has gone, which it would otherwise take for our failure."""
        if self.client_gone:
            self.body.close()
            await self._closed()

    async def _closed(self) -> bool:
        async def closed() -> None:
            while (await self._receive())["type"] == "http.request":
                pass

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(closed(), CUT_PATIENCE)
            return True
        return False

    def close(self) -> None:
        """Nothing more is done about it."""
        self.on_linger = None
        if self._body is not None:
            self._body.close()
