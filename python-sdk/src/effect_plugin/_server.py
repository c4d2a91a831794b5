"""The hooks of a plugin as a service, and the process that serves them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Callable

from . import _deadline as deadline
from . import _hook_call as hook_call
from . import _process as process
from . import _trace as trace
from . import _watchdog as watchdog
from . import logs
from ._calls import LIFE_HOOKS, HandlerCall, Outcome, call_in_turn, takes_several
from ._config import RuntimeConfig
from ._descriptors import message_class
from ._dispatch import arguments, no_handler, response_of
from ._hook_call import HookCall, Pending, Refusal, details, late
from ._loops import EventLoop, Handed, on_thread
from ._plugin import BasePlugin, contract_of, make_plugin
from ._running import hear_of_the_end, run
from ._services import Service
from ._serving.offers import PluginOffers, has_web_server
from ._status import CallError
from ._stopping import Stopping
from ._threads import HandlerThreads, NoThreadError, run_handler
from ._ttrpc import inherited, offered
from .logs import own_logger

if TYPE_CHECKING:
    from ._serving.handler import RequestHandler

#: Seconds that web applications get, when the plugin stops, for what goes on in them after their responses. A host
#: waits two for all of the plugin's end.
BACKGROUND_LIMIT = 1.0

_log = own_logger("effect_plugin")


class PluginServer:
    """Serves the hooks of one plugin on the `machinery`'s loop. Its async handlers run on another, their author's."""

    def __init__(self, plugin: BasePlugin, config: RuntimeConfig, author: EventLoop, machinery: EventLoop) -> None:
        self._plugin = plugin
        self._contract = contract_of(type(plugin))
        self._config = config
        self._author = author
        self._machinery = machinery
        self._author_thread = threading.get_ident()
        self._hook_threads = HandlerThreads("hook", hook_call.HANDLER_THREADS)
        self._requests: RequestHandler | None = None

    @property
    def requests(self) -> RequestHandler:
        """What serves HTTP, which most plugins do not."""
        if self._requests is None:
            from ._serving.handler import RequestHandler

            self._requests = RequestHandler(self._plugin, self._author, self._machinery)
        return self._requests

    def services(self) -> list[Service]:
        """The services, derived from their descriptors."""
        own = {"Implemented": self._implemented, "ServeHTTP": self.serve_http}
        return [
            Service(
                service, {method.name: own.get(method.name) or self._hook(method.name) for method in service.methods}
            )
            for service in self._contract.services()
        ]

    def close(self) -> None:
        """Ends the threads of sync handlers, each as soon as its handler has returned."""
        self._hook_threads.close()
        if self._requests is not None:
            self._requests.close()

    async def finish(self) -> None:
        """Lets what goes on after responses come to its end, for a moment."""
        if self._requests is not None:
            await self._requests.home.run(self._requests.finish, BACKGROUND_LIMIT)

    def hears_alike(self) -> bool:
        """Whether the handlers of events are all `async def`, or none is, and so begin in one place, in order."""
        tell = [name for name in self._contract.hooks if takes_several(self._contract, name) and name not in LIFE_HOOKS]
        handlers = [handler for name in tell for handler in self._plugin._handlers_of(name)]
        return len({inspect.iscoroutinefunction(handler) for handler in handlers}) <= 1

    # -- hooks ---------------------------------------------------------------------------------------------------

    async def _implemented(self, request: Any, context: Any) -> Any:
        response = message_class(self._contract.implemented.output_type)
        return response(hooks=type(self._plugin).implemented_hooks())

    def _hook(self, name: str) -> Callable[[Any, Any], Any]:
        async def respond(request: Any, context: Any) -> Any:
            if not self._plugin.has_hook(name):
                return no_handler(self._contract, name, request)
            if name == "OnDeactivate":
                self._author.post(self._plugin._stop_jobs)
            trace.enter(context.invocation_metadata())
            end = time.monotonic() + hook_call.seconds_for(context.time_remaining(), self._config.hook_timeout)
            calls = self._plugin._calls(name, lambda: arguments(self._contract, self._contract.hooks[name], request))

            async def attempt(call: HandlerCall, sharing: int) -> Outcome:
                # Who hangs keeps nobody else from running.
                return await self._attempt(name, request, call, max((end - time.monotonic()) / sharing, 0.001))

            outcome = await call_in_turn(name, calls, attempt)
            if isinstance(outcome.error, Refusal):
                raise CallError(outcome.error.code, outcome.error.details)
            if name == "OnActivate" and not outcome.failed:
                self._author.post(self._plugin._start_jobs)
            if outcome.response is None:
                return response_of(self._contract, name, request, None)
            return outcome.response

        return respond

    async def _attempt(self, name: str, request: Any, handler: HandlerCall, limit: float) -> Outcome:
        """Calls one handler, which has so many seconds; how it fails is logged."""
        call = HookCall(self._contract, self.name, name, request, handler)
        response = await self._answer(call, inspect.iscoroutinefunction(handler.function), limit)
        if response is None:
            response = late(self.name, name)
        if isinstance(response, Refusal):
            return Outcome(error=response, failed=True)
        return Outcome(response, failed=bool(self._contract.failed(response)))

    async def _answer(self, call: HookCall, is_async: bool, limit: float) -> Any:
        """What a call is answered, or None when its time is over."""
        lateness, loop = "", asyncio.get_running_loop()
        patience = min(limit, watchdog.BLOCKED)
        timer: asyncio.TimerHandle

        def expire() -> None:
            nonlocal lateness, patience, timer
            # What holds up the loop may wait, by way of the host, for this very call. It would to the end of both.
            if patience < limit and not (is_async and call.thread is None and self._author.held_up_by):
                timer = loop.call_later(limit - patience, expire)
                patience = limit
                return
            # While the handler is where it is.
            lateness = call.lateness(self._author, self._author_thread, patience, is_async=is_async)
            answer.cancel()

        timer = loop.call_later(patience, expire)
        own_time = deadline.enter(time.monotonic() + limit)
        handed: Handed | None = None
        try:
            if is_async:
                handed = self._author.hand(call.run_async)
                answer = handed.answer
            else:
                answer = self._hook_threads.submit(contextvars.copy_context().run, call.run)
            response = await answer
            if isinstance(response, Pending):
                handed = self._author.hand(call.run_async, response.result)
                answer = handed.answer
                response = await answer
            return response
        except NoThreadError as error:
            return call.failed(error)
        except asyncio.CancelledError:
            call.give_up()
            if handed is not None:
                handed.cancel()
            if not lateness:
                raise
            _log.error("%s %s", call.by, lateness)
            return None
        finally:
            timer.cancel()
            own_time.end()

    @property
    def name(self) -> str:
        """What the plugin is called in what its host is told."""
        return self._config.plugin_id or type(self._plugin).__name__

    async def run(self, handler: Callable[..., Any], args: list[Any]) -> Any:
        """Runs a hook's handler: a coroutine on its author's loop, anything else on a thread. Answers its result."""
        return await run_handler(self._hook_threads, handler, args, self._author)

    async def serve_http(self, incoming: Any, context: Any) -> None:
        """Serves one request: `incoming` are the messages of its stream, `context` takes those of the response."""
        # Only what speaks gRPC is ever asked this way.
        from ._serving.grpc_transport import serve_grpc

        await serve_grpc(self.requests, incoming, context, lambda how: details(self.name, "ServeHTTP", how))


# -- the process ---------------------------------------------------------------------------------------------------


async def serve_plugin(plugin_class: type[BasePlugin]) -> None:
    """Serves a plugin until the host wants it to stop, or is gone.

    What is the author's runs on the loop that this is called on, in the main thread; the host is answered on another.
    """
    contract = contract_of(plugin_class)
    config = contract.runtime_config()
    loop = asyncio.get_running_loop()
    author = EventLoop.of(loop)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(author.woken_quickly())
        api = async_api = None
        offer = _taken_offer(plugin_class)
        # Over ttrpc it has nothing to do but to serve HTTP.
        new_loop = asyncio.new_event_loop if offer is not None and not plugin_class.has_hook("ServeHTTP") else _new_loop
        machinery = stack.enter_context(on_thread("machinery", new_loop))
        if config.api_target or offer is not None:
            api = contract.client(config.api_target)
            stack.callback(api.close)
            api.connect_ahead()
            async_api = contract.async_client(config.api_target)
            # That over ttrpc belongs to no loop.
            await (machinery.run(async_api.connect) if offer is None else async_api.connect())
            stack.push_async_callback(async_api.close)
        plugin = make_plugin(plugin_class, api, async_api, config)
        await stack.enter_async_context(plugin._lifespan())
        hooks = PluginServer(plugin, config, author, machinery)
        stack.push_async_callback(hooks.finish)
        services = hooks.services()
        # Where it has no web server, nothing of that is loaded.
        offers = PluginOffers(
            lambda: hooks.requests,
            serves_http=plugin.has_hook("ServeHTTP"),
            begins_in_order=offer is not None and hooks.hears_alike(),
        )
        services.append(offers.service())
        stack.push_async_callback(offers.stop)
        stopping = Stopping(machinery.loop)
        hear_of_the_end(stopping, loop)
        if offer is None:
            serving = _serve_grpc(contract.protocol_version, services, stopping)
        else:
            from ._ttrpc.serving import HookServer

            server = HookServer(offer, plugin, hooks.name, config.hook_timeout, author, stopping)
            serving = server.serve(services, machinery)
        await machinery.run(_to_the_end, serving, stopping, loop)


def _taken_offer(plugin_class: type[BasePlugin]) -> offered.Offered | None:
    """What the host offers, where this plugin can do with it; else its host is told by gRPC being spoken."""
    offer = offered.offered()
    # What serves requests as streams is gRPC alone.
    if offer is None or (plugin_class.has_hook("ServeHTTP") and not has_web_server()):
        offered.decline()
        return None
    inherited.connect(offer.api)
    return offer


async def _serve_grpc(version: int, services: list[Service], stopping: Stopping) -> None:
    # Both take long to load, and are nothing to a plugin that does not speak gRPC.
    from . import goplugin
    from ._grpc import handler_of

    handlers = [handler_of(service) for service in services]
    # What is printed is logged (see the package's __init__), so the stream of it stays silent.
    await goplugin.serve_until(
        stopping, {version: lambda server, _: server.add_generic_rpc_handlers(handlers)}, stream_output=False
    )


async def _to_the_end(
    serving: Coroutine[Any, Any, None], stopping: Stopping, author: asyncio.AbstractEventLoop
) -> None:
    async def end_in_any_case() -> None:
        await stopping.wait()
        # Where no thread can be had, the host ends what is blocked.
        with contextlib.suppress(RuntimeError):
            watchdog.leave_when_blocked(author)

    seeing_to_it = asyncio.ensure_future(end_in_any_case())
    try:
        await serving
    finally:
        if stopping.is_set():
            # What serves may have ended before this had its turn.
            await seeing_to_it
        seeing_to_it.cancel()


def run_plugin(plugin_class: type[BasePlugin]) -> None:
    """Runs a plugin as the process a host has started; returns never.

    Run by hand it says so and exits with 1. An error before the handshake goes to stderr, with exit code 1.
    """
    contract = contract_of(plugin_class)
    contract.handshake.require_host()
    # Once more: what was imported meanwhile may have set up logging of its own.
    logs.configure(contract.runtime_config().log_level, process.log_stream())
    run(serve_plugin(plugin_class), _new_loop if _uses_loop(plugin_class) else asyncio.new_event_loop)


def _uses_loop(plugin_class: type[BasePlugin]) -> bool:
    """Whether a plugin has anything that runs on its event loop. To load a quicker one takes a while, and memory."""
    hooks = plugin_class._handlers.hooks
    handlers = [plugin_class._handlers.methods[attribute] for attributes in hooks.values() for attribute in attributes]
    return "ServeHTTP" in hooks or any(map(inspect.iscoroutinefunction, handlers))


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop hands calls over and serves HTTP for less."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.new_event_loop()
    return new_event_loop()
