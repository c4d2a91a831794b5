"""The hooks of a plugin as a gRPC service, and the process that serves them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any, Callable

import grpc
import grpc.aio

from . import deadline, goplugin, logs, process, trace, watchdog
from .calls import LIFE_HOOKS, HandlerCall, Outcome, call_in_turn
from .client import AsyncPluginAPIClient, PluginAPIClient
from .config import HANDSHAKE, PROTOCOL_VERSION, RuntimeConfig, load_runtime_config
from .contract import HOOKS
from .descriptors import message_class, service_handler
from .dispatch import HookResultError, arguments, failure, no_handler, response_of, sayable, text_of
from .logs import own_logger
from .plugin import Plugin, make_plugin
from .serving.grpc_transport import serve_grpc
from .serving.handler import RequestHandler
from .serving.offers import PluginOffers
from .threads import HandlerThreads, run_handler

#: Threads for sync handlers of hooks; those of ServeHTTP have others (`Plugin.http_threads`): no client may keep hooks
#: waiting. A handler that is stuck keeps its thread, so there are more than ever run at once.
HANDLER_THREADS = 64

#: Seconds that web applications get, when the plugin stops, for what goes on in them after their responses. A host
#: waits two for all of the plugin's end.
BACKGROUND_LIMIT = 1.0

#: A handler's time ends this much before its call's, so that the host hears of it from us.
_DEADLINE_SHARE = 0.95

#: Characters of a status' details, which travel as a header: gRPC takes 8 KiB of them, and a character has up to 12.
_DETAILS_LIMIT = 500

_log = own_logger("mattermost_plugin")


class _Unanswered(Exception):
    """A failure that the hook's response can't say: the call ends with a status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class PluginServer:
    """Serves the hooks of one plugin."""

    def __init__(self, plugin: Plugin, config: RuntimeConfig) -> None:
        self._plugin = plugin
        self._config = config
        self._hook_threads = HandlerThreads("hook", HANDLER_THREADS)
        self.requests = RequestHandler(plugin)

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, derived from its descriptor."""
        own = {"Implemented": self._implemented, "ServeHTTP": self.serve_http}
        return service_handler(
            HOOKS.full_name, {method.name: own.get(method.name) or self._hook(method.name) for method in HOOKS.methods}
        )

    def close(self) -> None:
        """Ends the threads of sync handlers, each as soon as its handler has returned."""
        self._hook_threads.close()
        self.requests.close()

    # -- hooks ---------------------------------------------------------------------------------------------------

    async def _implemented(self, request: Any, context: Any) -> Any:
        response = message_class(HOOKS.methods_by_name["Implemented"].output_type)
        return response(hooks=type(self._plugin).implemented_hooks())

    def _hook(self, name: str) -> Callable[[Any, Any], Any]:
        method = HOOKS.methods_by_name[name]

        async def respond(request: Any, context: Any) -> Any:
            if not self._plugin.has_hook(name):
                return no_handler(name, request)
            if name == "OnDeactivate":
                self._plugin._stop_jobs()
            trace.enter(context.invocation_metadata())
            end = time.monotonic() + self._limit(context)
            calls = self._plugin._calls(name, lambda: arguments(method, request))

            async def attempt(call: HandlerCall, sharing: int) -> Outcome:
                # Who hangs keeps nobody else from running.
                return await self._attempt(name, request, call, max((end - time.monotonic()) / sharing, 0.001))

            outcome = await call_in_turn(name, calls, attempt)
            if isinstance(outcome.error, _Unanswered):
                await context.abort(outcome.error.code, outcome.error.details)
            if name == "OnActivate" and not outcome.failed:
                self._plugin._start_jobs()
            return response_of(name, request, None) if outcome.response is None else outcome.response

        return respond

    async def _attempt(self, name: str, request: Any, call: HandlerCall, limit: float) -> Outcome:
        """Calls one handler, which has so many seconds; how it fails is logged."""
        own_time = deadline.enter(limit)
        threads: list[int] = []
        running = asyncio.ensure_future(
            self.run(call.function, call.args, begun=lambda: threads.append(threading.get_ident()))
        )
        try:
            # Not wait_for: it waits on for a handler that ignores its cancellation, and a TimeoutError of the
            # handler's own looks like its.
            done, _ = await asyncio.wait([running], timeout=limit)
        finally:
            running.cancel()
            own_time.end()
        by = f"{name} ({call.name})"
        if not done:
            running.add_done_callback(lambda late: _report_late(by, late))
            how = "did not return" if threads else f"could not begin, with {HANDLER_THREADS} others at work,"
            place = f"; it is at {_place(running, threads[0])}" if threads else ""
            _log.error("%s %s within %.1f s%s", by, how, limit, place)
            return Outcome(error=self._unanswered(name, "did not return in time", grpc.StatusCode.DEADLINE_EXCEEDED))
        try:
            outcome = Outcome(response_of(name, request, running.result()))
            if name in LIFE_HOOKS and outcome.failed:
                _log.error("%s failed: %s", by, outcome.response.error.message)
            return outcome
        except HookResultError as error:
            _log.error("%s %s", by, error)
            return Outcome(error=self._unanswered(by, str(error)))
        except BaseException as error:
            _log.exception("%s failed", by)
            # Nobody but the operator is told what an exception says: it may hold what is not theirs to see.
            text = text_of(error) if name in LIFE_HOOKS else ""
            kind = type(error).__name__
            told = failure(name, f"{kind}: {text}" if text else self._failed(name, f"raised {kind}"))
            return Outcome(told) if told is not None else Outcome(error=self._unanswered(name, f"raised {kind}"))

    def _unanswered(self, by: str, how: str, code: grpc.StatusCode = grpc.StatusCode.INTERNAL) -> _Unanswered:
        return _Unanswered(code, self._failed(by, how))

    def _failed(self, by: str, how: str) -> str:
        text = f"plugin {self._config.plugin_id or type(self._plugin).__name__}: {by} {how}"
        return sayable(text, _DETAILS_LIMIT)

    def _limit(self, context: Any) -> float:
        remaining = context.time_remaining()
        return self._config.hook_timeout if remaining is None else max(remaining * _DEADLINE_SHARE, 0.001)

    async def run(self, handler: Callable[..., Any], args: list[Any], begun: Callable[[], object] | None = None) -> Any:
        """Runs a hook's handler: a coroutine on the loop, anything else on a thread. Answers its result."""
        return await run_handler(self._hook_threads, handler, args, begun)

    async def serve_http(self, incoming: Any, context: Any) -> None:
        """Serves one request: `incoming` are the messages of its stream, `context` takes those of the response."""
        await serve_grpc(self.requests, incoming, context, lambda how: self._failed("ServeHTTP", how))


def _place(running: asyncio.Future[Any], thread: int) -> str:
    """Where a handler is that does not return: one on the loop, or on a thread of its own."""
    if thread == threading.get_ident():
        return watchdog.place_of_task(running)
    return watchdog.place_of_thread(thread)


def _report_late(by: str, late: asyncio.Future[Any]) -> None:
    """Tells of a handler that has failed after its time was over."""
    if not late.cancelled() and late.exception() is not None:
        _log.error("%s failed, after its time was over", by, exc_info=late.exception())


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
        stack.push_async_callback(hooks.requests.finish, BACKGROUND_LIMIT)
        services = [hooks.handler()]
        if plugin.has_hook("ServeHTTP"):
            offers = PluginOffers(hooks.requests)
            services.append(offers.handler())
            stack.push_async_callback(offers.stop)
        # What is printed is logged (see the package's __init__), so the stream of it stays silent.
        await goplugin.serve(
            HANDSHAKE,
            {PROTOCOL_VERSION: lambda server, _: server.add_generic_rpc_handlers(services)},
            stream_output=False,
        )


def run_plugin(plugin_class: type[Plugin]) -> None:
    """Runs a plugin as the process a host has started; returns never.

    Run by hand it says so and exits with 1. An error before the handshake goes to stderr, with exit code 1.
    """
    HANDSHAKE.require_host()
    # Once more: what was imported meanwhile may have set up logging of its own.
    logs.configure(load_runtime_config().log_level, process.log_stream())
    goplugin.run(serve_plugin(plugin_class), _loop_for(plugin_class))


def _loop_for(plugin_class: Any) -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop serves HTTP faster; it takes a moment to load, so other plugins do without."""
    if isinstance(plugin_class, type) and issubclass(plugin_class, Plugin) and plugin_class.has_hook("ServeHTTP"):
        with contextlib.suppress(ImportError):
            from uvloop import new_event_loop

            return new_event_loop
    return asyncio.new_event_loop
