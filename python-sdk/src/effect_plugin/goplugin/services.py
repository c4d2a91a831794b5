"""The services every go-plugin plugin has: health, controller, stdio and broker."""

from __future__ import annotations

from typing import Any

import grpc

from .._descriptors import message_class
from .._grpc import service_handler
from .._health import STATUS, health_of
from .._stopping import Stopping
from .broker import GRPCBroker
from .stdio import Stdio


def handlers(stopping: Stopping, stdio: Stdio, broker: GRPCBroker) -> list[grpc.GenericRpcHandler]:
    """The services; `stopping` is set when the host asks the plugin to end."""
    health = Health(stopping)

    async def shut_down(request: Any, context: Any) -> Any:
        # Only asks: waiting here for the server to stop would wait for this very call.
        stopping.set()
        return message_class("plugin.Empty")()

    return [
        service_handler("grpc.health.v1.Health", {"Check": health.check, "Watch": health.watch}),
        service_handler("plugin.GRPCController", {"Shutdown": shut_down}),
        service_handler("plugin.GRPCStdio", {"StreamStdio": stdio.stream}),
        service_handler("plugin.GRPCBroker", {"StartStream": broker.start_stream}),
    ]


class Health:
    """The health of the plugin, under the name go-plugin's hosts ask for and under none."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping

    async def check(self, request: Any, context: Any) -> Any:
        """The status now."""
        status = health_of(request.service, self._stopping)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        return status

    async def watch(self, request: Any, context: Any) -> None:
        """The status, and the change when the plugin stops."""
        status = health_of(request.service, self._stopping)
        await context.write(status or STATUS(status=STATUS.SERVICE_UNKNOWN))
        await self._stopping.wait()
        if status is not None:
            await context.write(health_of(request.service, self._stopping))
