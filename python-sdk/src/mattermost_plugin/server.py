"""The hooks of a plugin as a gRPC service, and the process that serves them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import sys
import threading
from typing import Any, Callable

import grpc
import grpc.aio

from . import goplugin, logs, trace
from .client import AsyncPluginAPIClient, PluginAPIClient
from .config import HANDSHAKE, PROTOCOL_VERSION, RuntimeConfig, load_runtime_config
from .contract import HOOKS
from .descriptors import message_class, service_handler
from .dispatch import HookResultError, arguments, failure, no_handler, response_of, sayable, text_of
from .http import ClientDisconnected, HTTPRequest, HTTPResponseWriter, split_target
from .logs import own_logger
from .plugin import Plugin, make_plugin
from .threads import HandlerThreads, NoThreadError

#: Threads for sync handlers of hooks, and as many for those of ServeHTTP: no client may keep hooks waiting. A handler
#: that is stuck keeps its thread, so there are more than ever run at once.
HANDLER_THREADS = 64

#: Seconds a request waits for one of ServeHTTP's threads, before its client is told to come again.
HTTP_PATIENCE = 5.0

#: Seconds that web applications get, when the plugin stops, for what goes on in them after their responses. A host
#: waits two for all of the plugin's end.
BACKGROUND_LIMIT = 1.0

#: A handler's time ends this much before its call's, so that the host hears of it from us.
_DEADLINE_SHARE = 0.95

#: Characters of a status' details, which travel as a header: gRPC takes 8 KiB of them, and a character has up to 12.
_DETAILS_LIMIT = 500

#: Hooks whose failure text the operator, and nobody else, gets to see.
_OPERATOR_HOOKS = {"OnActivate", "OnDeactivate", "OnConfigurationChange"}

_log = own_logger("mattermost_plugin")


class PluginServer:
    """Serves the hooks of one plugin."""

    def __init__(self, plugin: Plugin, config: RuntimeConfig) -> None:
        self._plugin = plugin
        self._config = config
        self._hook_threads = HandlerThreads("hook", HANDLER_THREADS)
        self._http_threads = HandlerThreads("http", HANDLER_THREADS, HTTP_PATIENCE)
        self._background: set[asyncio.Future[Any]] = set()

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, derived from its descriptor."""
        own = {"Implemented": self._implemented, "ServeHTTP": self.serve_http}
        return service_handler(
            HOOKS.full_name, {method.name: own.get(method.name) or self._hook(method.name) for method in HOOKS.methods}
        )

    def close(self) -> None:
        """Ends the threads of sync handlers, each as soon as its handler has returned."""
        self._hook_threads.close()
        self._http_threads.close()

    async def background(self, limit: float) -> None:
        """Waits for what goes on after responses have ended, as web applications' background tasks do; then ends it."""
        if self._background:
            await asyncio.wait(self._background, timeout=limit)
        for task in self._background:
            task.cancel()

    # -- hooks ---------------------------------------------------------------------------------------------------

    async def _implemented(self, request: Any, context: Any) -> Any:
        response = message_class(HOOKS.methods_by_name["Implemented"].output_type)
        return response(hooks=type(self._plugin).implemented_hooks())

    def _hook(self, name: str) -> Callable[[Any, Any], Any]:
        method = HOOKS.methods_by_name[name]

        async def respond(request: Any, context: Any) -> Any:
            handler = self._plugin.get_hook_handler(name)
            if handler is None:
                return no_handler(name, request)
            trace.enter(context)
            limit = self._limit(context)
            begun = threading.Event()
            running = asyncio.ensure_future(self.run(handler, arguments(method, request), begun=begun.set))
            try:
                # Not wait_for: it waits on for a handler that ignores its cancellation, and a TimeoutError of the
                # handler's own looks like its.
                done, _ = await asyncio.wait([running], timeout=limit)
            finally:
                running.cancel()
            by = f"{name} ({handler.__qualname__})"
            if not done:
                how = "did not return" if begun.is_set() else f"could not begin, with {HANDLER_THREADS} others at work,"
                _log.error("%s %s within %.1f s", by, how, limit)
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, self._failed(name, "did not return in time"))
            try:
                return response_of(name, request, running.result())
            except HookResultError as error:
                _log.error("%s %s", by, error)
                await context.abort(grpc.StatusCode.INTERNAL, self._failed(by, str(error)))
            except BaseException as error:
                _log.exception("%s failed", by)
                # Nobody but the operator is told what an exception says: it may hold what is not theirs to see.
                text = text_of(error) if name in _OPERATOR_HOOKS else ""
                kind = type(error).__name__
                told = failure(name, f"{kind}: {text}" if text else self._failed(name, f"raised {kind}"))
                if told is None:
                    await context.abort(grpc.StatusCode.INTERNAL, self._failed(name, f"raised {kind}"))
                return told

        return respond

    def _failed(self, by: str, how: str) -> str:
        text = f"plugin {self._config.plugin_id or type(self._plugin).__name__}: {by} {how}"
        return sayable(text, _DETAILS_LIMIT)

    def _limit(self, context: Any) -> float:
        remaining = context.time_remaining()
        return self._config.hook_timeout if remaining is None else max(remaining * _DEADLINE_SHARE, 0.001)

    async def run(
        self,
        handler: Callable[..., Any],
        args: list[Any],
        threads: HandlerThreads | None = None,
        begun: Callable[[], object] = lambda: None,
    ) -> Any:
        """Runs a handler: a coroutine on the loop, anything else on a thread. Answers its result."""
        try:
            if inspect.iscoroutinefunction(handler):
                begun()
                return await handler(*args)
            # A thread has a context of its own, in which the call's would be missing.
            called = contextvars.copy_context().run
            result = await (threads or self._hook_threads).run(called, _called, handler, args, begun)
            # A decorator may have hidden that the handler is `async def`.
            return await result if inspect.isawaitable(result) else result
        except SystemExit as error:
            # argparse exits when a user mistypes a command: that is this call's end, not the plugin's.
            raise RuntimeError(f"the handler called sys.exit({error.code!r})") from error

    # -- ServeHTTP -----------------------------------------------------------------------------------------------

    async def serve_http(self, incoming: Any, context: Any) -> None:
        """Serves one request: `incoming` are the messages of its stream, `context` takes those of the response."""
        first = await anext_or_none(incoming)
        if first is None or not first.HasField("init"):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first message of ServeHTTP has no init")
        trace.enter(context)
        request = HTTPRequest(first.init, incoming, first)
        writer = HTTPResponseWriter()
        sender = asyncio.ensure_future(writer.send_to(context))
        answering = asyncio.ensure_future(self._answer(request, writer))
        try:
            # A web application may go on when its response has ended, and its client need not wait for that.
            done, _ = await asyncio.wait([sender, answering], return_when=asyncio.FIRST_COMPLETED)
            if answering in done:
                answering.result()
            await sender
            if not writer.finished:
                await context.abort(grpc.StatusCode.INTERNAL, self._failed("ServeHTTP", "failed after it had begun"))
        finally:
            # Also when the client has gone and this call was cancelled: a handler that still writes is told.
            writer.close()
            sender.cancel()
            if not writer.finished:
                answering.cancel()
            elif not answering.done():
                self._background.add(answering)
                answering.add_done_callback(self._background.discard)

    async def _answer(self, request: HTTPRequest, writer: HTTPResponseWriter) -> None:
        """Runs the handler, and ends its response: whole, or cut off where it failed."""
        handler = self._plugin.get_hook_handler("ServeHTTP")
        if handler is None:
            _plain(writer, 404, "Not Found")
            return
        try:
            if inspect.iscoroutinefunction(handler):
                await request.read_ahead()
            args = [request.plugin_context, writer, request]
            result = await self.run(handler, args, self._http_threads)
            if result is not None and not writer.started:
                kind = type(result).__name__
                raise TypeError(f"it returned a {kind}, which nobody reads; a handler calls writer.write(...)")
        except NoThreadError as error:
            _log.error("ServeHTTP (%s) could not begin: %s", handler.__qualname__, error)
            writer.set_header("Retry-After", "1")
            _plain(writer, 503, "Service Unavailable")
        except Exception as error:
            if not isinstance(error, ClientDisconnected):
                path = split_target(request.url)[0]
                _log.exception("ServeHTTP (%s) failed: %s %s", handler.__qualname__, request.method, path)
            if writer.started:
                writer.cut_off()
            else:
                writer.clear_headers()
                _plain(writer, 500, "Internal Server Error")
        else:
            writer.finish()


def _called(handler: Callable[..., Any], args: list[Any], begun: Callable[[], object]) -> Any:
    begun()
    try:
        return handler(*args)
    except StopIteration as error:
        # No future takes it: the call would never end.
        raise RuntimeError("the handler raised StopIteration") from error


def _plain(writer: HTTPResponseWriter, status: int, text: str) -> None:
    writer.set_header("Content-Type", "text/plain; charset=utf-8")
    writer.write_header(status)
    writer.write(text)
    writer.finish()


async def anext_or_none(incoming: Any) -> Any:
    """The next message of a stream, or None at its end."""
    try:
        return await incoming.__anext__()
    except StopAsyncIteration:
        return None


# -- the process ---------------------------------------------------------------------------------------------------


async def serve_plugin(plugin_class: type[Plugin]) -> None:
    """Serves a plugin until the host wants it to stop, or is gone."""
    config = load_runtime_config()
    async with contextlib.AsyncExitStack() as stack:
        api = async_api = None
        if config.api_target:
            api = PluginAPIClient(config.api_target)
            stack.callback(api.close)
            api.connect_ahead()
            async_api = await stack.enter_async_context(AsyncPluginAPIClient(config.api_target))
        plugin = make_plugin(plugin_class, api, async_api, config)
        await stack.enter_async_context(plugin._lifespan())
        hooks = PluginServer(plugin, config)
        stack.push_async_callback(hooks.background, BACKGROUND_LIMIT)
        # What is printed is logged (see the package's __init__), so the stream of it stays silent.
        await goplugin.serve(
            HANDSHAKE,
            {PROTOCOL_VERSION: lambda server, _: server.add_generic_rpc_handlers([hooks.handler()])},
            stream_output=False,
        )


def run_plugin(plugin_class: type[Plugin]) -> None:
    """Runs a plugin as the process a host has started; returns never.

    Run by hand it says so and exits with 1. An error before the handshake goes to stderr, with exit code 1.
    """
    HANDSHAKE.require_host()
    # Once more: what was imported meanwhile may have set up logging of its own.
    logs.configure(load_runtime_config().log_level, sys.stderr)
    goplugin.run(serve_plugin(plugin_class))
