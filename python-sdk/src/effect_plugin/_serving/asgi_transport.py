"""An ASGI application on the web server, without a request and a writer in between."""

from __future__ import annotations

import asyncio
from typing import Any

from .._body import ClientDisconnected
from ..logs import own_logger
from .exchange import Exchange, Receive, Send
from .handler import RequestHandler
from .told import Told, paths, server_of

_log = own_logger("effect_plugin")


async def serve_application(handler: RequestHandler, scope: dict[str, Any], told: Told, exchange: Exchange) -> None:
    """Serves one request by the application that is the plugin's handler."""
    told.enter_trace()
    own_scope = scope_of(handler, scope, told, told.scheme)
    try:
        await handler.application(own_scope, _receive(exchange), _send(exchange))
        if exchange.answered or exchange.given_up:
            return
        raise RuntimeError("the application returned before its response had ended")
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        if (exchange.given_up or exchange.client_gone) and _is_about_leaving(error):
            return
        _log.exception("ServeHTTP failed: %s %s", scope["method"], told.raw_path.decode("latin-1"))
        if exchange.answered or exchange.given_up or exchange.client_gone:
            return
    await exchange.fail()


def scope_of(handler: RequestHandler, scope: dict[str, Any], told: Told, scheme: str) -> dict[str, Any]:
    """The scope that an application gets: the client's request, as the host knows it, and the plugin."""
    root_path = told.root_path()
    path, raw_path = paths(root_path, told.raw_path)
    return {
        **scope,
        # `send` raises an OSError when the client has gone.
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": told.protocol[len("HTTP/") :],
        "scheme": scheme,
        "path": path,
        "raw_path": raw_path,
        "root_path": root_path,
        "headers": told.headers,
        "client": told.client,
        "server": server_of(told.host, scheme),
        "plugin": handler.plugin,
        "state": handler.state.copy(),
    }


def _is_about_leaving(error: BaseException) -> bool:
    """Whether an exception is what becomes of an application whose client has gone."""
    if isinstance(error, (asyncio.CancelledError, ClientDisconnected)):
        return True
    # Starlette raises its own in the course of it.
    cause = error.__cause__ or error.__context__
    return type(error).__name__ == "ClientDisconnect" or (cause is not None and _is_about_leaving(cause))


def _receive(exchange: Exchange) -> Receive:
    is_read = False

    async def receive() -> dict[str, Any]:
        nonlocal is_read
        if not is_read:
            # Who only looks, and cancels this at once (`is_disconnected` of FastAPI), must not have taken a piece.
            await asyncio.sleep(0)
            try:
                piece = await exchange.body.read()
            except ClientDisconnected:
                # Here the application is cancelled.
                await asyncio.sleep(0)
                return {"type": "http.disconnect"}
            is_read = exchange.body.at_end()
            return {"type": "http.request", "body": piece, "more_body": not is_read}
        await exchange.until_over()
        return {"type": "http.disconnect"}

    return receive


def _send(exchange: Exchange) -> Send:
    async def send(message: dict[str, Any]) -> None:
        if exchange.answered:
            raise RuntimeError("the response has ended")
        kind = message["type"]
        if kind == "http.response.start":
            if exchange.started:
                raise RuntimeError("the response has begun")
            await exchange.start(message["status"], message.get("headers", ()))
        elif kind == "http.response.body":
            if not exchange.started:
                raise RuntimeError("a response begins with its head")
            await exchange.write(message.get("body", b""), last=not message.get("more_body", False))
        else:
            raise RuntimeError(f"a response has no {kind!r} here")

    return send
