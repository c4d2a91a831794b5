"""What a plugin offers to a host that knows this SDK, beside the contract."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Callable

from .._descriptors import message_class
from .._services import Service
from .._sockets import has_unix_sockets
from .._status import CallError, Code
from ..logs import own_logger

if TYPE_CHECKING:
    from .handler import RequestHandler
    from .web_server import WebServer

_SERVICE = "plugin_supervisor.v1.PluginOffers"
_Response = message_class("plugin_supervisor.v1.DescribeResponse")

_log = own_logger("effect_plugin")


def _folder() -> str:
    """Where the web server's socket is to be; empty where there can be none."""
    return os.environ.get("PLUGIN_UNIX_SOCKET_DIR", "") if has_unix_sockets() else ""


def has_web_server() -> bool:
    """Whether a plugin can serve HTTP by a web server of its own here."""
    if not _folder():
        return False
    try:
        # It is loaded sooner or later. That it can be found says nothing of what it needs itself.
        from . import web_server  # noqa: F401
    except ImportError as error:
        _log.info("HTTP goes over gRPC, which is slower, since uvicorn is missing (%s): pip install uvicorn", error)
        return False
    return True


class PluginOffers:
    """The service by which the plugin says what it offers. Where `serves_http` it does from the first question on."""

    def __init__(self, handler: Callable[[], RequestHandler], *, serves_http: bool, begins_in_order: bool) -> None:
        self._handler = handler
        self._serves_http = serves_http
        self._begins_in_order = begins_in_order
        self._asking: asyncio.Lock | None = None
        self._web_server: WebServer | None = None
        self._address = ""

    def service(self) -> Service:
        """The service itself."""
        return Service.of_engine(_SERVICE, {"Describe": self._describe})

    async def _describe(self, request: Any, context: Any) -> Any:
        response = _Response(begins_calls_in_order=self._begins_in_order)
        if not self._serves_http:
            return response
        # Made by the first call: under Python 3.9 it belongs to the loop that makes it.
        self._asking = self._asking or asyncio.Lock()
        async with self._asking:
            if not self._address:
                try:
                    self._address = await self._handler().home.run(self._start)
                except Exception as error:
                    _log.exception("the plugin's web server could not start")
                    raise CallError(Code.INTERNAL, f"the plugin's web server could not start: {error}") from error
        if self._address:
            response.http.address = self._address
        return response

    async def _start(self) -> str:
        folder = _folder()
        if not folder:
            return ""
        if not has_web_server():
            return ""
        from .web_server import WebServer

        web_server = WebServer(self._handler(), os.path.join(os.path.abspath(folder), "http.sock"))
        address = await web_server.start()
        self._web_server = web_server
        return address

    async def stop(self) -> None:
        """Ends the web server, if there is one."""
        if self._web_server is not None:
            await self._handler().home.run(self._web_server.stop)
