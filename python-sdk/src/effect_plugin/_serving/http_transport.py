"""A handler of ServeHTTP on the web server: the same request and writer as over gRPC."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from .._body import ClientDisconnected, complete
from .._outgoing import CUT_PATIENCE, Outgoing
from ..http import HTTPRequest, HTTPResponseWriter
from ..logs import own_logger
from .exchange import Exchange
from .handler import RequestHandler
from .told import Told, canonical

_log = own_logger("effect_plugin")

#: Bytes of a response that is all there up to which it is sent in one piece.
_ONE_PIECE = 256 * 1024

#: How the body comes is not the client's word, but its way here.
_FRAMING = b"transfer-encoding"

#: Of all requests without a body.
_EMPTY = complete(b"")


@functools.cache
def _nothing(context: Any) -> Any:
    """The message of a context of which nothing is known."""
    return context().to_proto()


async def serve_handler(handler: RequestHandler, scope: dict[str, Any], told: Told, exchange: Exchange) -> None:
    """Serves one request by the plugin's handler."""
    told.enter_trace()
    response = _Response(exchange, handler.stall_limit)
    request = _Request(handler, scope, told, exchange)
    try:
        await handler.answer(request, HTTPResponseWriter(response.outgoing), lambda: exchange.given_up)
        await response.finish()
    finally:
        # A handler that still writes, on its thread, is told.
        response.close()


class _Response:
    """Sends what a writer has been given."""

    def __init__(self, exchange: Exchange, stall_limit: float) -> None:
        self.outgoing = Outgoing(exchange.loop, self._wake, stall_limit, at_once=False)
        self._exchange = exchange
        self._sending: asyncio.Task[None] | None = None
        self._failed: Exception | None = None
        exchange.on_linger = self._linger

    def _linger(self) -> None:
        self.outgoing.at_once = True
        self._wake()

    def _wake(self) -> None:
        if self._sending is None and self.outgoing.head is not None and not self._exchange.answered:
            self._sending = asyncio.ensure_future(self._send_what_is_there())

    async def finish(self) -> None:
        """Sends the rest of a response whose handler has returned."""
        if self._sending is not None and self.outgoing.cut_off:
            await asyncio.wait([self._sending], timeout=CUT_PATIENCE)
        if self._sending is not None and not self.outgoing.cut_off:
            await self._sending
        if self._sending is not None:
            # Its client takes nothing.
            self._sending.cancel()
            return await self._exchange.cut_off()
        await self._send_what_is_there()
        if self._failed is not None and not isinstance(self._failed, ClientDisconnected):
            _log.error("ServeHTTP: the response could not be sent: %s", self._failed)
            await self._exchange.fail()
        elif not self._exchange.answered:
            await self._exchange.cut_off()

    async def _send_what_is_there(self) -> None:
        try:
            while self._failed is None and await self._send_next():
                pass
        except Exception as error:
            # The handler is told with its next write.
            self._failed = error
            self.outgoing.close()
        finally:
            self._sending = None

    async def _send_next(self) -> bool:
        """Sends the next piece, if there is one; whether there may be more."""
        outgoing, exchange = self.outgoing, self._exchange
        if outgoing.head is None or exchange.answered:
            return False
        # First whether it has ended: what precedes the end is there then.
        ended = outgoing.ended
        if not exchange.started:
            await self._start(ended)
        if ended and outgoing.waiting <= _ONE_PIECE:
            pieces = [outgoing.pieces.popleft() or b"" for _ in range(len(outgoing.pieces))]
            piece: bytes | None = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        else:
            piece = outgoing.pieces.popleft() if outgoing.pieces else b""
        last = ended and not outgoing.pieces
        if piece or last:
            await exchange.write(piece or b"", last=last)
            outgoing.sent(len(piece or b""))
        return not last and bool(outgoing.pieces or outgoing.ended)

    async def _start(self, ended: bool) -> None:
        assert self.outgoing.head is not None
        status, headers = self.outgoing.head
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, values in headers for value in values]
        if ended and self._exchange.says_its_length and not any(name.lower() == b"content-length" for name, _ in pairs):
            pairs.append((b"content-length", b"%d" % self.outgoing.waiting))
        await self._exchange.start(status, pairs)

    def close(self) -> None:
        """Nothing more is sent."""
        self.outgoing.leave()
        if self._sending is not None:
            self._sending.cancel()


#: What of a request is made when it is asked for.
_LATE = {
    "_client",
    "content_length",
    "headers",
    "host",
    "proto",
    "proto_major",
    "proto_minor",
    "remote_addr",
    "request_uri",
    "scheme",
}


class _Request(HTTPRequest):
    """A request whose head is read when somebody asks for more of it than its path: many handlers never do."""

    def __init__(self, handler: RequestHandler, scope: dict[str, Any], told: Told, exchange: Exchange) -> None:
        # Whatever HTTPRequest has besides is in `_rest`.
        self._told = told
        self.method = scope["method"]
        path, query = told.raw_path.decode("latin-1"), scope["query_string"].decode("latin-1")
        self.url = f"{path}?{query}" if query else path
        self.plugin_context = _context(handler.contract.http_context, told)
        self._incoming = exchange.body if exchange.has_body else _EMPTY
        self._has_body = exchange.has_body
        self._body = None
        self._stall_limit = handler.stall_limit

    def __getattr__(self, name: str) -> Any:
        # Called for what is not there.
        if name not in _LATE:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        late = self._rest()
        # What a handler has set meanwhile stays.
        vars(self).update({**late, **vars(self)})
        return late[name]

    def _rest(self) -> dict[str, Any]:
        told = self._told
        headers: dict[str, list[str]] = {}
        length = -1 if self._has_body else 0
        for name, value in told.headers:
            if name == _FRAMING:
                continue
            text = value.decode("latin-1")
            headers.setdefault(canonical(name), []).append(text)
            if name == b"content-length":
                length = int(text) if text.isdigit() else -1
        protocol = told.protocol
        return {
            "proto": protocol,
            "proto_major": 1,
            "proto_minor": 0 if protocol == "HTTP/1.0" else 1,
            "headers": headers,
            "host": told.host,
            "remote_addr": told.peer,
            "request_uri": told.target,
            "content_length": length,
            "scheme": told.scheme,
            "_client": told.client,
        }


def _context(kind: Any, told: Told) -> Any:
    context = kind.from_proto(_nothing(kind))
    context.request_id = told.request_id
    context.ip_address = told.peer_address
    context.accept_language = told.accept_language
    context.user_agent = told.user_agent
    return context
