"""A plugin's life over ttrpc, where goplugin's `serve_until` is its life over gRPC."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import _hook_call as hook_call
from .. import _process as process
from .._handshake import choose_protocol_version, format_handshake_line
from .._loops import EventLoop
from .._plugin import BasePlugin, contract_of
from .._services import Service
from .._stopping import Stopping
from .calls import Rpc
from .hooks import ELSEWHERE, Hooks
from .server import Server

if TYPE_CHECKING:
    from .offered import Offered


class HookServer:
    """Serves a plugin over the socket that its host offers. Made in the main thread, where the author's loop is."""

    def __init__(
        self,
        offer: Offered,
        plugin: BasePlugin,
        name: str,
        hook_timeout: float,
        author: EventLoop,
        stopping: Stopping,
    ) -> None:
        self._contract = contract_of(type(plugin))
        self._offer = offer
        self._stopping = stopping
        self._hooks = Hooks(plugin, name, hook_timeout, author, threading.get_ident())
        self._server = Server(
            offer.hooks,
            author,
            stopping,
            hook_call.HANDLER_THREADS,
            lambda: process.lose_host(stopping.set),
            author_leads=self._hooks.are_async,
        )

    async def serve(self, services: Sequence[Service], machinery: EventLoop) -> None:
        """Serves until the plugin is to end, on the machinery's loop; of `services` what answers once."""
        for service in services:
            methods = {name: service.described.methods_by_name[name] for name in service.methods}
            is_hook = {name: name in self._contract.hooks and name not in ELSEWHERE for name in methods}
            routes = self._hooks.routes({name: method for name, method in methods.items() if is_hook[name]})
            for name, method in methods.items():
                if not is_hook[name] and not getattr(method, "server_streaming", False):
                    routes[name] = Rpc.of(machinery, method, service.methods[name]).route
            self._server.add(service.described.full_name, routes)
        version = choose_protocol_version(process.protocol_versions(), {self._contract.protocol_version})
        process.write_handshake(format_handshake_line(version, "fd", self._offer.name, protocol="ttrpc"))
        self._server.start()
        try:
            await self._stopping.wait()
        finally:
            await self._server.stop()
