"""Servicers of grpcio's generated code, served over ttrpc."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Callable, NoReturn

import grpc
import grpc.aio

from .._loops import EventLoop
from .._status import CallError
from .._ttrpc.calls import Route, Rpc
from ..logs import own_logger
from .context import Context
from .metadata import Metadatum, metadata_of

_log = own_logger("effect_plugin")

#: After the last response of a handler that is no coroutine.
_END = object()


class Servicers:
    """Takes handlers as a `grpc.aio.Server` does, and answers the routes to them."""

    def __init__(self, home: EventLoop) -> None:
        self._home = home
        self._generic: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """See `grpc.aio.Server`."""
        self._generic.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """See `grpc.aio.Server`: hints for its routing. Generated code adds the same by the other method."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"the server of a plugin that speaks ttrpc has no {name!r}: it takes handlers, no more")

    def find(self, asked: Any) -> Route | None:
        """The route that a request takes; None where nobody serves it."""
        entries = ((entry.key, entry.value) for entry in asked.metadata)
        details = _Details(f"/{asked.service}/{asked.method}", metadata_of(entries))
        try:
            handlers: Any = (generic.service(details) for generic in self._generic)
            handler = next((each for each in handlers if each is not None), None)
        except Exception:
            _log.exception("it can't be told who serves %s", details.method)
            return None
        return None if handler is None else _rpc(self._home, handler).route


class _Details(grpc.HandlerCallDetails):
    def __init__(self, method: str, metadata: tuple[Metadatum, ...]) -> None:
        self.method = method
        self.invocation_metadata = metadata


def _as_it_is(data: bytes) -> bytes:
    return data


def _rpc(home: EventLoop, handler: Any) -> Rpc:
    kinds = ("unary", "stream")
    function = getattr(handler, f"{kinds[handler.request_streaming]}_{kinds[handler.response_streaming]}")
    return Rpc(
        home,
        functools.partial(_serve, function),
        handler.request_deserializer or _as_it_is,
        handler.response_serializer or _as_it_is,
        handler.request_streaming,
        handler.response_streaming,
    )


async def _serve(function: Callable[..., Any], request: Any, call: Any) -> Any:
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    context = Context(call) if is_async else _ContextOfThread(call)
    try:
        response = await (_answer if is_async else _answer_on_thread)(function, request, context)
        context.raise_status()
        return response
    except CallError:
        raise
    except Exception as error:
        if context.code() is not grpc.StatusCode.OK and not isinstance(error, NotImplementedError):
            _log.exception("a handler has failed that has set a status, which is what its caller is told")
        context.raise_status()
        raise
    finally:
        context.finish()


async def _answer(function: Callable[..., Any], request: Any, context: Context) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(request, context)
    responses = function(request, context)
    try:
        async for response in responses:
            await context.write(response)
    finally:
        await responses.aclose()


# -- handlers that are no coroutines: on threads, as grpc.aio has them -------------------------------------------------


class _ContextOfThread(Context):
    def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> Any:
        self.abort_now(code, details, trailing_metadata)

    def abort_with_status(self, status: Any) -> Any:
        self.abort_now(status.code, status.details, status.trailing_metadata or ())

    def send_initial_metadata(self, metadata: Any) -> Any:
        """Sends nothing."""


async def _answer_on_thread(function: Callable[..., Any], request: Any, context: Context) -> Any:
    loop = asyncio.get_running_loop()
    run: Any = contextvars.copy_context().run
    if isinstance(request, AsyncIterator):
        request = _each(request, loop)
    response = await loop.run_in_executor(None, run, function, request, context)
    if not isinstance(response, Iterator):
        return response
    while (each := await loop.run_in_executor(None, run, next, response, _END)) is not _END:
        await context.write(each)
    return None


def _each(requests: AsyncIterator[Any], loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    async def receive() -> Any:
        async for request in requests:
            return request
        return _END

    while (each := asyncio.run_coroutine_threadsafe(receive(), loop).result()) is not _END:
        yield each
