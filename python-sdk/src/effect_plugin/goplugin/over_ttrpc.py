"""A plugin's life over ttrpc, on the connections that its host offers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, NoReturn

import grpc.aio

from .. import _process as process
from .._descriptors import ENGINE
from .._handshake import choose_protocol_version, format_handshake_line
from .._loops import EventLoop
from .._services import Service
from .._stopping import Stopping
from .._ttrpc.calls import Rpc
from .._ttrpc.server import Server
from .broker import BrokerError, GRPCBroker
from .servicers import Servicers
from .services import Health, stdio_service
from .stdio import Stdio

if TYPE_CHECKING:
    from .._ttrpc.offered import Offered


_NO_BROKER = "the plugin speaks ttrpc, which has no broker but its `host`; serve it without `ttrpc=True`"


class NoBroker(GRPCBroker):
    """What there is in place of a broker."""

    def __init__(self, api: socket.socket) -> None:
        super().__init__(None)
        self._api = api
        self._channel: grpc.aio.Channel | None = None

    @property
    def host(self) -> grpc.aio.Channel:
        """See `GRPCBroker`."""
        if self._channel is None:
            # Few plugins call their host.
            from .host_channel import HostChannel

            self._channel = HostChannel(self._api)
        return self._channel

    def next_id(self) -> NoReturn:
        """See `GRPCBroker`."""
        raise BrokerError(_NO_BROKER)

    @contextlib.asynccontextmanager
    async def serve(self, service_id: int, register: Callable[[Any], None]) -> AsyncIterator[None]:
        """See `GRPCBroker`."""
        raise BrokerError(_NO_BROKER)
        yield

    async def dial(self, service_id: int) -> NoReturn:
        """See `GRPCBroker`."""
        raise BrokerError(_NO_BROKER)


async def serve_offered(
    offer: Offered, stopping: Stopping, versions: Mapping[int, Callable[[Any, Any], object]], *, stream_output: bool
) -> None:
    """Serves as `serve` does, all of it on this loop."""
    connection, api, name = offer
    loop = asyncio.get_running_loop()
    home = EventLoop.of(loop)
    version = choose_protocol_version(process.protocol_versions(), versions)
    stdio, servicers = Stdio(loop), Servicers(home)
    versions[version](servicers, NoBroker(api))
    # No handler is for a thread; the one that there is reads while something blocks the loop.
    server = Server(connection, home, stopping, 1, lambda: process.lose_host(stopping.set), author_leads=True)
    # What else every plugin has, the server knows itself.
    watch = Service(ENGINE.service("grpc.health.v1.Health"), {"Watch": Health(stopping).watch})
    for service in (watch, stdio_service(stdio)):
        described = service.described
        routes = {
            name: Rpc.of(home, described.methods_by_name[name], function).route
            for name, function in service.methods.items()
        }
        server.add(described.full_name, routes)
    server.find_by(servicers.find)
    with contextlib.ExitStack() as stack:
        stack.enter_context(home.woken_quickly())
        process.write_handshake(format_handshake_line(version, "fd", name, protocol="ttrpc"))
        if stream_output:
            stack.enter_context(stdio.redirected())
        server.start()
        try:
            await stopping.wait()
        finally:
            stdio.end()
            await server.stop()
