"""The services every go-plugin plugin has: health, controller, stdio and broker."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf import empty_pb2

from .._generated.grpc.health.v1 import health_pb2
from .._generated.plugin import grpc_broker_pb2, grpc_controller_pb2, grpc_stdio_pb2
from .broker import GRPCBroker
from .stdio import Stdio

_STATUS = health_pb2.HealthCheckResponse


def unary(respond: Any, request: Any, response: Any) -> Any:
    """The handler of a unary rpc."""
    return grpc.unary_unary_rpc_method_handler(respond, request.FromString, response.SerializeToString)


def handlers(stopping: asyncio.Event, stdio: Stdio, broker: GRPCBroker) -> list[grpc.GenericRpcHandler]:
    """The services; `stopping` is set when the host asks the plugin to end."""
    health = Health(stopping)

    async def shut_down(request: Any, context: Any) -> Any:
        # Only asks: waiting here for the server to stop would wait for this very call.
        stopping.set()
        return grpc_controller_pb2.Empty()

    conn_info = grpc_broker_pb2.ConnInfo
    services = {
        "grpc.health.v1.Health": {
            "Check": unary(health.check, health_pb2.HealthCheckRequest, _STATUS),
            "Watch": grpc.unary_stream_rpc_method_handler(
                health.watch, health_pb2.HealthCheckRequest.FromString, _STATUS.SerializeToString
            ),
        },
        "plugin.GRPCController": {"Shutdown": unary(shut_down, grpc_controller_pb2.Empty, grpc_controller_pb2.Empty)},
        "plugin.GRPCStdio": {
            "StreamStdio": grpc.unary_stream_rpc_method_handler(
                stdio.stream, empty_pb2.Empty.FromString, grpc_stdio_pb2.StdioData.SerializeToString
            )
        },
        "plugin.GRPCBroker": {
            "StartStream": grpc.stream_stream_rpc_method_handler(
                broker.start_stream, conn_info.FromString, conn_info.SerializeToString
            )
        },
    }
    return [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]


class Health:
    """The health of the plugin, under the name go-plugin's hosts ask for and under none."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping

    def _status(self, service: str) -> Any:
        if service not in ("", "plugin"):
            return None
        return _STATUS(status=_STATUS.NOT_SERVING if self._stopping.is_set() else _STATUS.SERVING)

    async def check(self, request: Any, context: Any) -> Any:
        """The status now."""
        status = self._status(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        return status

    async def watch(self, request: Any, context: Any) -> None:
        """The status, and the change when the plugin stops."""
        status = self._status(request.service)
        await context.write(status or _STATUS(status=_STATUS.SERVICE_UNKNOWN))
        await self._stopping.wait()
        if status is not None:
            await context.write(self._status(request.service))
