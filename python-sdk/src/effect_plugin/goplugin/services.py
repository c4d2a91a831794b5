"""The services every go-plugin plugin has: health, controller, stdio and broker."""

from __future__ import annotations

from typing import Any

from .._descriptors import message_class
from .._health import STATUS, health_of
from .._services import Service
from .._status import CallError, Code
from .._stopping import Stopping
from .broker import GRPCBroker
from .stdio import Stdio


def services(stopping: Stopping, stdio: Stdio, broker: GRPCBroker) -> list[Service]:
    """The services; `stopping` is set when the host asks the plugin to end."""
    health = Health(stopping)

    async def shut_down(request: Any, context: Any) -> Any:
        # Only asks: waiting here for the server to stop would wait for this very call.
        stopping.set()
        return message_class("plugin.Empty")()

    return [
        Service.of_engine("grpc.health.v1.Health", {"Check": health.check, "Watch": health.watch}),
        Service.of_engine("plugin.GRPCController", {"Shutdown": shut_down}),
        Service.of_engine("plugin.GRPCBroker", {"StartStream": broker.start_stream}),
        stdio_service(stdio),
    ]


def stdio_service(stdio: Stdio) -> Service:
    """What the plugin prints."""
    return Service.of_engine("plugin.GRPCStdio", {"StreamStdio": stdio.stream})


class Health:
    """The health of the plugin, under the name go-plugin's hosts ask for and under none."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping

    async def check(self, request: Any, context: Any) -> Any:
        """The status now."""
        status = health_of(request.service, self._stopping)
        if status is None:
            raise CallError(Code.NOT_FOUND, f"no service {request.service!r}")
        return status

    async def watch(self, request: Any, context: Any) -> None:
        """The status, and the change when the plugin stops."""
        status = health_of(request.service, self._stopping)
        await context.write(status or STATUS(status=STATUS.SERVICE_UNKNOWN))
        await self._stopping.wait()
        if status is not None:
            await context.write(health_of(request.service, self._stopping))
