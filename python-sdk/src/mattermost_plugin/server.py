"""The plugin's side of go-plugin's gRPC protocol: a server for the host's hooks."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import grpc
import grpc.aio
from google.protobuf import empty_pb2

from . import logs, process
from ._generated.grpc.health.v1 import health_pb2
from ._generated.mattermost.pluginapi.v1.hooks_http_pb2 import ServeHTTPRequest, ServeHTTPResponse
from ._generated.plugin import grpc_controller_pb2, grpc_stdio_pb2
from .client import PluginAPIClient
from .config import RuntimeConfig, load_runtime_config
from .contract import HOOKS, message_class
from .dispatch import HookResultError, arguments, failure, no_handler, response_of
from .handshake import choose_protocol_version, format_handshake_line, listen
from .http import ClientDisconnected, HTTPRequest, HTTPResponseWriter
from .plugin import Plugin

#: Threads for sync handlers. A handler that is stuck keeps its thread, so there are more than ever run at once.
_HANDLER_THREADS = 64

#: Seconds calls in flight get when the plugin stops: the host waits two seconds in all.
_STOP_GRACE = 0.5

#: A handler's time ends this much before its call's, so that the host hears of it from us.
_DEADLINE_SHARE = 0.95

DEFAULT_SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
]

#: Hooks whose failure text the operator, and nobody else, gets to see.
_OPERATOR_HOOKS = {"OnActivate", "OnDeactivate", "OnConfigurationChange"}

_log = logging.getLogger("mattermost_plugin")


class PluginServer:
    """Serves one plugin: its hooks, its health, and go-plugin's own services."""

    def __init__(self, plugin: Plugin, config: RuntimeConfig) -> None:
        self._plugin = plugin
        self._config = config
        self._stopping = asyncio.Event()
        self._threads = ThreadPoolExecutor(_HANDLER_THREADS, thread_name_prefix="hook")

    def stop(self) -> None:
        """Begins to stop; `wait` returns. May be called twice, on the server's loop."""
        self._stopping.set()

    async def wait(self) -> None:
        """Waits until the plugin is to stop."""
        await self._stopping.wait()

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The services, derived from their descriptors."""
        hooks: dict[str, Any] = {}
        for method in HOOKS.methods:
            if method.name == "ServeHTTP":
                hooks[method.name] = grpc.stream_stream_rpc_method_handler(
                    self._serve_http, ServeHTTPRequest.FromString, ServeHTTPResponse.SerializeToString
                )
                continue
            respond = self._implemented if method.name == "Implemented" else self._hook(method.name)
            hooks[method.name] = _unary(respond, message_class(method.input_type), message_class(method.output_type))
        health = {
            "Check": _unary(self._check, health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse),
            "Watch": grpc.unary_stream_rpc_method_handler(
                self._watch,
                health_pb2.HealthCheckRequest.FromString,
                health_pb2.HealthCheckResponse.SerializeToString,
            ),
        }
        controller = {"Shutdown": _unary(self._shutdown, grpc_controller_pb2.Empty, grpc_controller_pb2.Empty)}
        stdio = {
            "StreamStdio": grpc.unary_stream_rpc_method_handler(
                self._stream_stdio, empty_pb2.Empty.FromString, grpc_stdio_pb2.StdioData.SerializeToString
            )
        }
        services = {
            HOOKS.full_name: hooks,
            "grpc.health.v1.Health": health,
            "plugin.GRPCController": controller,
            "plugin.GRPCStdio": stdio,
        }
        return [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]

    # -- go-plugin's services ------------------------------------------------------------------------------------

    def _status(self, service: str) -> Any:
        if service not in ("", "plugin"):
            return None
        status = health_pb2.HealthCheckResponse.NOT_SERVING if self._stopping.is_set() else None
        return health_pb2.HealthCheckResponse(status=status or health_pb2.HealthCheckResponse.SERVING)

    async def _check(self, request: Any, context: Any) -> Any:
        status = self._status(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        return status

    async def _watch(self, request: Any, context: Any) -> None:
        status = self._status(request.service)
        await context.write(
            status or health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        )
        await self.wait()
        if status is not None:
            await context.write(self._status(request.service))

    async def _shutdown(self, request: Any, context: Any) -> Any:
        # Only asks: waiting here for the server to stop would wait for this very call.
        self.stop()
        return grpc_controller_pb2.Empty()

    async def _stream_stdio(self, request: Any, context: Any) -> None:
        # What is printed is logged (see process.claim_stdout), so this stream stays open and says nothing.
        await self.wait()

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
            limit = self._limit(context)
            running = asyncio.ensure_future(self._run(handler, arguments(method, request)))
            try:
                # Not wait_for: it waits on for a handler that ignores its cancellation, and a TimeoutError of the
                # handler's own looks like its.
                done, _ = await asyncio.wait([running], timeout=limit)
            finally:
                running.cancel()
            if not done:
                _log.error("%s did not return within %.1f s", name, limit)
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, self._failed(name, "did not return in time"))
            try:
                return response_of(name, request, running.result())
            except HookResultError as error:
                _log.error("%s", error)
                await context.abort(grpc.StatusCode.INTERNAL, self._failed(name, str(error)))
            except (Exception, asyncio.CancelledError) as error:
                _log.exception("%s failed", name)
                # Nobody but the operator is told what an exception says: it may hold what is not theirs to see.
                text = str(error) if name in _OPERATOR_HOOKS else ""
                kind = type(error).__name__
                told = failure(name, f"{kind}: {text}" if text else self._failed(name, f"raised {kind}"))
                if told is None:
                    await context.abort(grpc.StatusCode.INTERNAL, self._failed(name, f"raised {kind}"))
                return told

        return respond

    def _failed(self, hook: str, how: str) -> str:
        return f"plugin {self._config.plugin_id or type(self._plugin).__name__}: {hook} {how}"

    def _limit(self, context: Any) -> float:
        remaining = context.time_remaining()
        return self._config.hook_timeout if remaining is None else max(remaining * _DEADLINE_SHARE, 0.001)

    async def _run(self, handler: Callable[..., Any], args: list[Any]) -> Any:
        """Runs a handler: a coroutine on the loop, anything else on a thread. Answers its result."""
        try:
            if inspect.iscoroutinefunction(handler):
                return await handler(*args)
            result = await asyncio.get_running_loop().run_in_executor(self._threads, _called, handler, args)
            # A decorator may have hidden that the handler is `async def`.
            return await result if inspect.isawaitable(result) else result
        except SystemExit as error:
            # argparse exits when a user mistypes a command: that is this call's end, not the plugin's.
            raise RuntimeError(f"the handler called sys.exit({error.code!r})") from error

    # -- ServeHTTP -----------------------------------------------------------------------------------------------

    async def _serve_http(self, incoming: Any, context: Any) -> None:
        first = await anext_or_none(incoming)
        if first is None or not first.HasField("init"):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first message of ServeHTTP has no init")
        request = HTTPRequest(first.init, incoming, first)
        writer = HTTPResponseWriter()
        sender = asyncio.ensure_future(writer.send_to(context))
        try:
            complete = await self._answer(request, writer)
            await sender
            if not complete:
                await context.abort(grpc.StatusCode.INTERNAL, self._failed("ServeHTTP", "failed after it had begun"))
        finally:
            # Also when the client has gone and this call was cancelled: a handler that still writes is told.
            writer.close()
            sender.cancel()

    async def _answer(self, request: HTTPRequest, writer: HTTPResponseWriter) -> bool:
        """Runs the handler; answers whether the response is whole."""
        handler = self._plugin.get_hook_handler("ServeHTTP")
        if handler is None:
            _plain(writer, 404, "Not Found")
            return True
        try:
            if inspect.iscoroutinefunction(handler):
                await request.read_ahead()
            await self._run(handler, [request.plugin_context, writer, request])
        except Exception as error:
            if not isinstance(error, ClientDisconnected):
                _log.exception("ServeHTTP failed: %s %s", request.method, request.url.split("?", 1)[0])
            if writer.started:
                writer.cut_off()
                return False
            _plain(writer, 500, "Internal Server Error")
            return True
        writer.finish()
        return True


def _called(handler: Callable[..., Any], args: list[Any]) -> Any:
    try:
        return handler(*args)
    except StopIteration as error:
        # No future takes it: the call would never end.
        raise RuntimeError("the handler raised StopIteration") from error


def _plain(writer: HTTPResponseWriter, status: int, text: str) -> None:
    writer._headers.clear()
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


def _unary(respond: Any, request: Any, response: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(respond, request.FromString, response.SerializeToString)


# -- the process ---------------------------------------------------------------------------------------------------


async def serve_plugin(plugin_class: type[Plugin]) -> None:
    """Serves a plugin until the host wants it to stop, or is gone."""
    if os.environ.get("PLUGIN_CLIENT_CERT"):
        sys.exit("the host asks for TLS (AutoMTLS), which this SDK does not speak yet; turn it off for this plugin")
    config = load_runtime_config()
    api = None
    if config.api_target:
        api = PluginAPIClient(config.api_target)
        api.connect()
    server = PluginServer(plugin_class(api=api, config=config), config)
    loop = asyncio.get_running_loop()
    process.on_signals(loop, server.stop)
    process.watch_host(lambda: loop.call_soon_threadsafe(server.stop))

    grpc_server = grpc.aio.server(options=DEFAULT_SERVER_OPTIONS)
    grpc_server.add_generic_rpc_handlers(server.handlers())
    network, address = listen(grpc_server)
    await grpc_server.start()
    version = choose_protocol_version(os.environ.get("PLUGIN_PROTOCOL_VERSIONS", ""))
    process.write_handshake(format_handshake_line(network, address, version))

    await server.wait()
    await grpc_server.stop(_STOP_GRACE)
    if api is not None:
        api.close()
    if network == "unix":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)


def run_plugin(plugin_class: type[Plugin]) -> None:
    """Runs a plugin as the process a host has started; returns never.

    Run by hand it says so and exits with 1. An error before the handshake goes to stderr, with exit code 1.
    """
    process.require_host()
    process.claim_stdout()
    logs.configure(load_runtime_config().log_level, sys.stderr)
    try:
        asyncio.run(_to_the_end(plugin_class))
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(error.code + "\n")
        process.leave(error.code if isinstance(error.code, int) else 1)
    except BaseException:
        with contextlib.suppress(OSError):
            traceback.print_exc()
        process.leave(1)


async def _to_the_end(plugin_class: type[Plugin]) -> None:
    await serve_plugin(plugin_class)
    # A sync handler may still run, and its thread can't be stopped: leave without waiting for it.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    process.leave(0)
