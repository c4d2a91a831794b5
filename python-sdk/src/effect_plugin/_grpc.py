"""What the engine needs of grpcio. Nothing imports this but what speaks gRPC: it takes long to load."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Callable

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from ._descriptors import ENGINE, message_class
from ._limits import message_options
from ._loops import EventLoop
from ._services import Service
from ._status import CallError


def service_handler(
    service: str | ServiceDescriptor, methods: Mapping[str, Callable[..., Any]]
) -> grpc.GenericRpcHandler:
    """A service as a server takes it, each method served by the function of its name. The engine's own go by names."""
    described = ENGINE.service(service) if isinstance(service, str) else service

    def handler(method: str, function: Callable[..., Any]) -> Any:
        of: Any = described.methods_by_name[method]
        kinds = ("unary", "stream")
        make = getattr(grpc, f"{kinds[of.client_streaming]}_{kinds[of.server_streaming]}_rpc_method_handler")
        if inspect.iscoroutinefunction(function):
            function = _with_status(function)
        return make(function, message_class(of.input_type).FromString, message_class(of.output_type).SerializeToString)

    handlers = {method: handler(method, function) for method, function in methods.items()}
    return grpc.method_handlers_generic_handler(described.full_name, handlers)


def handler_of(service: Service) -> grpc.GenericRpcHandler:
    """A service of the engine as a server takes it."""
    return service_handler(service.described, service.methods)


def _with_status(function: Callable[..., Any]) -> Callable[..., Any]:
    async def respond(request: Any, context: Any) -> Any:
        try:
            return await function(request, context)
        except CallError as error:
            return await context.abort(error.code.grpc, error.details)

    return respond


class _Channel:
    """A connection to a host API, of which one of grpcio's modules is."""

    #: What a call raises that has failed.
    error: type[Exception] = grpc.RpcError

    def __init__(
        self, module: Any, target: str, credentials: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]
    ) -> None:
        options = [*message_options(), ("grpc.enable_http_proxy", 0), *options]
        if credentials is None:
            self._channel = module.insecure_channel(target, options=options)
        else:
            self._channel = module.secure_channel(target, credentials, options=options)

    def _unary(self, method: MethodDescriptor) -> Any:
        return self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=message_class(method.input_type).SerializeToString,
            response_deserializer=message_class(method.output_type).FromString,
        )


class Channel(_Channel):
    """The same for any thread."""

    def __init__(
        self, target: str, credentials: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]
    ) -> None:
        super().__init__(grpc, target, credentials, options)

    def unary(self, method: MethodDescriptor) -> Callable[..., Any]:
        """The function that calls a method: of a request, seconds and metadata."""
        multi = self._unary(method)
        return lambda request, seconds, metadata: multi(request, timeout=seconds, metadata=metadata)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()


class AsyncChannel(_Channel):
    """The same for coroutines. The connection belongs to the loop that makes it; calls may be made on others."""

    def __init__(
        self, target: str, credentials: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]
    ) -> None:
        super().__init__(grpc.aio, target, credentials, options)
        self._home = EventLoop.here()

    def unary(self, method: MethodDescriptor) -> Callable[..., Any]:
        """The coroutine function that calls a method: of a request, seconds and metadata."""
        multi = self._unary(method)

        async def call(request: Any, seconds: float, metadata: Any) -> Any:
            return await multi(request, timeout=seconds, metadata=metadata)

        # All but the call itself is done elsewhere: the connection's loop may be the one that the host is answered on.
        return lambda *args: self._connected_on().run(call, *args)

    async def close(self) -> None:
        """Ends the connection."""
        await self._connected_on().run(self._channel.close)

    def _connected_on(self) -> EventLoop:
        if not self._home.is_running:
            raise RuntimeError("the client was connected on an event loop that does not run any more")
        return self._home
