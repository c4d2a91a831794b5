"""The plugin's web server: uvicorn on a private socket, started when somebody connects to that."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

from ..logs import own_logger
from .asgi_transport import serve_application
from .corked import CorkedProtocol
from .exchange import Exchange, Receive, Send
from .handler import RequestHandler
from .http_transport import serve_handler
from .told import Told
from .websocket import WebSocket

_log = own_logger("effect_plugin")

#: Seconds for which connections are kept that nothing goes over. Hosts close theirs long before, so that no request
#: meets a connection that is just being closed.
_KEEP_ALIVE = 600

#: Seconds after which, or twice that, a request is no quick one any more: from then on its client's leaving is watched
#: for, and what its handler writes is sent at once. Quick ones are spared the work.
_QUICK = 0.005

#: Bytes of the largest message of a WebSocket.
_MESSAGE_LIMIT = 16 * 1024 * 1024

#: Seconds that open responses and WebSockets get when the plugin ends, and after them what their connections have still
#: to send. A host waits two for all of the plugin's end.
_STOP_GRACE, _STOP_LIMIT = 1.0, 0.5


class WebServer:
    """Serves ServeHTTP on a socket of its own."""

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._open: set[Exchange | WebSocket] = set()
        self._ageing: asyncio.TimerHandle | None = None
        self._server = _Server(
            uvicorn.Config(
                self._serve,
                http=CorkedProtocol,
                interface="asgi3",
                # Applications' lives are the plugin's, whatever serves them.
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                # What the client said is in the host's headers.
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=_KEEP_ALIVE,
                ws_max_size=_MESSAGE_LIMIT,
                # It costs each connection memory; there is no network between host and plugin.
                ws_per_message_deflate=False,
            )
        )

    async def start(self, listener: socket.socket) -> None:
        """Serves who connects to a socket that listens. Raises what keeps it from doing so."""
        await self._server.start(listener)

    async def stop(self) -> None:
        """Ends open responses and WebSockets, soon, and then the server."""
        going: list[asyncio.Future[Any]] = [one.task for one in self._open]
        # Tasks of their own: a client that takes nothing must not hold up the rest.
        going += [asyncio.ensure_future(one.go_away()) for one in self._open if isinstance(one, WebSocket)]
        # The others are told now, before uvicorn closes their connections.
        await asyncio.sleep(0)
        self._server.leave()
        if going:
            await asyncio.wait(going, timeout=_STOP_GRACE)
        for left in list(self._open):
            left.give_up()
        await self._server.until_left(_STOP_LIMIT)

    async def _serve(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """The application that uvicorn runs."""
        told = Told(scope["raw_path"], scope["headers"])
        if scope["type"] == "websocket":
            connection = WebSocket(receive, send)
            self._open.add(connection)
            try:
                await connection.serve(self._handler, scope, told)
            finally:
                self._open.discard(connection)
            return
        exchange = Exchange(self._loop, scope["method"], receive, send, told.has_body)
        serve = serve_handler if self._handler.application is None else serve_application
        self._open.add(exchange)
        if self._ageing is None:
            self._ageing = self._loop.call_later(_QUICK, self._age)
        try:
            await serve(self._handler, scope, told, exchange)
        except asyncio.CancelledError:
            if not exchange.given_up:
                raise
        finally:
            if exchange.given_up:
                # Its client is there still when it is the plugin that ends.
                await exchange.cut_off()
            if not exchange.answered:
                await exchange.until_known()
            exchange.close()
            self._open.discard(exchange)

    def _age(self) -> None:
        self._ageing = self._loop.call_later(_QUICK, self._age) if self._open else None
        for going in list(self._open):
            if isinstance(going, Exchange):
                going.grow_older()


class _Server(uvicorn.Server):
    """uvicorn's listening and its connections, without its main loop, which looks ten times a second whether to end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._connections = self.server_state.connections = _Connections()

    async def start(self, listener: socket.socket) -> None:
        """Listens. A failure of its start is an exception; uvicorn alone would exit."""
        self._listener = listener
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        try:
            await self.startup([listener])
        except SystemExit as error:
            raise RuntimeError(f"uvicorn could not start (it would exit with {error.code})") from error

    def leave(self) -> None:
        """Listens no more, and ends each connection: an idle one now, another after its response."""
        for server in self.servers:
            server.close()
        self._listener.close()
        for connection in list(self._connections):
            connection.shutdown()

    async def until_left(self, limit: float) -> None:
        """Waits, for so many seconds, until all connections have sent what they had to, and their tasks have ended."""
        await asyncio.wait(
            [asyncio.ensure_future(self._connections.gone.wait()), *self.server_state.tasks], timeout=limit
        )


class _Connections(set[Any]):
    """uvicorn's set of its connections, which tells when there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = asyncio.Event()
        self.gone.set()

    def add(self, connection: Any) -> None:
        super().add(connection)
        self.gone.clear()

    def discard(self, connection: Any) -> None:
        super().discard(connection)
        if not self:
            self.gone.set()

    remove = discard
