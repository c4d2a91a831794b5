"""What a plugin offers to a host that knows this SDK, beside the contract."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any, Callable

from .._descriptors import message_class
from .._services import Service
from .._sockets import has_unix_sockets
from .._status import CallError, Code
from ..logs import own_logger

if TYPE_CHECKING:
    from .handler import RequestHandler
    from .http_socket import HttpSocket

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
    found = importlib.util.find_spec("uvicorn")
    # A file of that name is the author's, and hides the package.
    if found is None or found.submodule_search_locations is None:
        _log.info("HTTP goes over gRPC, which is slower, since uvicorn is missing: pip install uvicorn")
        return False
    return True


class PluginOffers:
    """The service by which the plugin says what it offers. Where `serves_http` it does from the first question on."""

    def __init__(self, handler: Callable[[], RequestHandler], *, serves_http: bool, begins_in_order: bool) -> None:
        self._handler = handler
        self._serves_http = serves_http
        self._begins_in_order = begins_in_order
        self._socket: HttpSocket | None = None
        self._address = ""

    def service(self) -> Service:
        """The service itself."""
        return Service.of_engine(_SERVICE, {"Describe": self._describe})

    async def _describe(self, request: Any, context: Any) -> Any:
        response = _Response(begins_calls_in_order=self._begins_in_order)
        if not self._serves_http:
            return response
        try:
            address = await self._handler().home.run(self._open)
        except OSError as error:
            _log.exception("the plugin's web server has no socket")
            raise CallError(Code.INTERNAL, f"the plugin's web server has no socket: {error}") from error
        if address:
            response.http.address = address
        return response

    async def _open(self) -> str:
        if self._socket is None and has_web_server():
            from .http_socket import HttpSocket

            made = HttpSocket(self._handler(), os.path.join(os.path.abspath(_folder()), "http.sock"))
            self._address = made.open()
            self._socket = made
        return self._address

    async def stop(self) -> None:
        """Ends the web server, if there is one."""
        if self._socket is not None:
            await self._handler().home.run(self._socket.stop)
