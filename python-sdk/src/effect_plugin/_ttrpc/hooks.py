"""Hooks over ttrpc: sync handlers run where they are read, or on the threads beside it; async ones on their loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import math
import time
from collections.abc import Awaitable
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError

from .. import _deadline as deadline
from .. import _hook_call as hook_call
from .. import _trace as trace
from .. import _watchdog as watchdog
from .._calls import LIFE_HOOKS, HandlerCall, Outcome
from .._descriptors import message_class
from .._dispatch import arguments, no_handler, response_of
from .._hook_call import HookCall, Pending, Refusal, details
from .._loops import EventLoop, start_task
from .._plugin import BasePlugin, contract_of
from .._status import Code
from ..logs import own_logger
from .calls import Route, ServerCall
from .server import Server

_log = own_logger("effect_plugin")

#: What is served in another way, or asked of the plugin by name.
ELSEWHERE = {"Implemented", "ServeHTTP"}


class Hooks:
    """What the calls of a plugin's hooks share."""

    def __init__(
        self, plugin: BasePlugin, name: str, hook_timeout: float, author: EventLoop, author_thread: int
    ) -> None:
        self.plugin = plugin
        self.contract = contract_of(type(plugin))
        self.name = name
        self.hook_timeout = hook_timeout
        self.author = author
        self.author_thread = author_thread
        #: What is set in it is seen by every handler, as on the thread that has made this.
        self.context = contextvars.copy_context()

    def routes(self, methods: dict[str, MethodDescriptor]) -> dict[str, Route]:
        """The routes of so many hooks, by their names."""
        return {name: functools.partial(_HookRun, _Hook(self, method)) for name, method in methods.items()}

    @property
    def are_async(self) -> bool:
        """Whether the plugin has hooks, those of its own life apart, and all their handlers are `async def`."""
        names = [
            name for name in self.contract.hooks if name not in (*LIFE_HOOKS, *ELSEWHERE) and self.plugin.has_hook(name)
        ]
        return bool(names) and all(_Hook(self, self.contract.hooks[name]).is_async for name in names)


class _Hook:
    """One of a plugin's hooks."""

    def __init__(self, hooks: Hooks, method: MethodDescriptor) -> None:
        self.hooks = hooks
        self.name = method.name
        self.method = method
        self.exists = hooks.plugin.has_hook(method.name)
        #: Its handlers, as far as they are known before it is called.
        self.handlers = hooks.plugin._handlers_of(method.name) if self.exists else []
        self._are_all = not hooks.plugin._chooses_handler(method.name)
        #: Whether none of them is for a thread.
        self.is_async = bool(self.handlers) and all(map(_is_async, self.handlers))

    @functools.cached_property
    def request(self) -> Any:
        """The class of its request, which is made for the first call: there are far more hooks than a plugin has."""
        return message_class(self.method.input_type)

    def calls(self, request: Any) -> list[HandlerCall]:
        """The handlers' calls."""
        contract, method = self.hooks.contract, self.method
        if self._are_all:
            return [HandlerCall(handler, arguments(contract, method, request)) for handler in self.handlers]
        return self.hooks.plugin._calls(self.name, lambda: arguments(contract, method, request))


#: Which functions of the plugin's methods are `async def`: to find that out takes longer than many of them.
_KINDS: dict[Any, bool] = {}


def _is_async(handler: Any) -> bool:
    function = getattr(handler, "__func__", None)
    if function is None:
        return inspect.iscoroutinefunction(handler)
    if function not in _KINDS:
        _KINDS[function] = inspect.iscoroutinefunction(function)
    return _KINDS[function]


class _Turn:
    """One handler's part of a call. It is over when somebody has claimed its end."""

    __slots__ = ("_claims", "call", "end", "is_async", "own_time", "task")

    def __init__(self, call: HookCall, end: float, *, is_async: bool) -> None:
        self.call = call
        self.end = end
        self.is_async = is_async
        self.own_time: deadline.Deadline | None = None
        self.task: asyncio.Task[Any] | None = None
        self._claims = [True]

    def claim(self) -> bool:
        """Whether the caller is the first, and so the one that ends it. For any thread."""
        try:
            self._claims.pop()
        except IndexError:
            return False
        if self.own_time is not None:
            self.own_time.end()
        return True

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return not self._claims

    def give_up(self, author: EventLoop) -> None:
        """Tells the handler, as far as it can be told."""
        self.call.give_up()
        if self.is_async:
            author.post(self._cancel)

    def _cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


class _HookRun(ServerCall):
    """A call of a hook: its handlers one after the other, each where it belongs."""

    def __init__(self, hook: _Hook, server: Server, stream: int, asked: Any) -> None:
        super().__init__(server, stream, asked)
        self._hook = hook
        self._hooks = hook.hooks
        now = time.monotonic()
        remaining = None if self.end == math.inf else self.end - now
        self._handlers_end = now + hook_call.seconds_for(remaining, hook.hooks.hook_timeout)
        self._request: Any = None
        self._calls: list[HandlerCall] | None = None
        self._index = 0
        self._turn: _Turn | None = None
        self._outcome = Outcome()
        #: Since when it waits for what it waits for.
        self._begun = now

    # -- where it goes on ----------------------------------------------------------------------------------------------

    @property
    def has_begun(self) -> bool:
        """See `ServerCall`."""
        turn = self._turn
        return self._index > 0 or (turn is not None and turn.call.thread is not None)

    def begin(self) -> bool:
        """See `ServerCall`: one without `async def` handlers runs where it was read."""
        self._expect(is_async=self._hook.is_async)
        if self._hook.is_async:
            self.server.on_author(self)
        return not self._hook.is_async

    def _expect(self, *, is_async: bool) -> None:
        """What waits for its handler is looked at early when that is on the loop, which may be blocked by this."""
        end = self._handlers_end
        self.expires = min(self._begun + watchdog.BLOCKED, end) if is_async else end
        self.server.watch(self)

    def _elsewhere(self, *, is_async: bool) -> None:
        self._begun = time.monotonic()
        self._expect(is_async=is_async)
        if is_async:
            self._hooks.author.post(self.start)
        else:
            self.server.on_thread(self)

    def run(self) -> None:
        """See `ServerCall`."""
        self._go_on(on_loop=False)

    def start(self) -> None:
        """See `ServerCall`."""
        self._go_on(on_loop=True)

    def _go_on(self, *, on_loop: bool) -> None:
        """Runs handlers as long as they belong where this is."""
        try:
            if self.server.has(self) and (self._calls is not None or self._prepare()):
                self._run_handlers(on_loop=on_loop)
        except BaseException as error:
            _log.exception("%s has failed", self._hook.name)
            self.server.fail(self, Code.UNKNOWN, details(self._hooks.name, self._hook.name, f"failed: {error!r}"))
        if on_loop:
            self.server.flush()

    def _prepare(self) -> bool:
        """Finds the handlers, and what they are given; whether there are any."""
        name, hooks = self._hook.name, self._hooks
        try:
            self._request = self._hook.request.FromString(self._asked.payload)
        except DecodeError:
            self.server.fail(self, Code.UNKNOWN, "Exception deserializing request!")
            return False
        if not self._hook.exists:
            self.server.succeed(self, no_handler(hooks.contract, name, self._request).SerializeToString())
            return False
        if name == "OnDeactivate":
            hooks.author.post(hooks.plugin._stop_jobs)
        self._calls = self._hook.calls(self._request)
        return True

    def _run_handlers(self, *, on_loop: bool) -> None:
        calls = self._calls or []
        while self._index < len(calls):
            handler = calls[self._index]
            is_async = _is_async(handler.function)
            if is_async is not on_loop:
                self._elsewhere(is_async=is_async)
                return
            turn = self._next_turn(handler, len(calls) - self._index, is_async=is_async)
            if not self.server.has(self):
                # Whoever has ended the call since it was looked at may have found no turn to give up.
                turn.claim()
                return
            context = self._hooks.context.copy()
            if is_async:
                turn.task = context.run(self._run_async, turn)
                return
            response = context.run(self._run_sync, turn)
            if isinstance(response, Pending):
                turn.is_async = True
                self._hooks.author.post(context.run, self._run_pending, turn, response.result)
                return
            if not self._ended(turn, response):
                return
        self._finish()

    # -- one handler ---------------------------------------------------------------------------------------------------

    def _next_turn(self, handler: HandlerCall, left: int, *, is_async: bool) -> _Turn:
        hooks, now = self._hooks, time.monotonic()
        self._begun = now
        # Who can't be activated has no use for the others' share. And who hangs keeps nobody else from running.
        sharing = 1 if self._hook.name == "OnActivate" else left
        end = now + max((self._handlers_end - now) / sharing, 0.001)
        call = HookCall(hooks.contract, hooks.name, self._hook.name, self._request, handler)
        turn = self._turn = _Turn(call, end, is_async=is_async)
        self.expires = min(now + watchdog.BLOCKED, end) if is_async else end
        self.server.watch(self)
        return turn

    def _enter(self, turn: _Turn) -> None:
        if self._asked.metadata:
            trace.enter(self.invocation_metadata())
        turn.own_time = deadline.enter(turn.end)

    def _run_sync(self, turn: _Turn) -> Any:
        self._enter(turn)
        return turn.call.run()

    def _run_async(self, turn: _Turn) -> asyncio.Task[Any]:
        self._enter(turn)
        return start_task(functools.partial(self._await, turn))

    def _run_pending(self, turn: _Turn, pending: Awaitable[Any]) -> None:
        if turn.is_over:
            if inspect.iscoroutine(pending):
                pending.close()
        else:
            turn.task = start_task(functools.partial(self._await, turn, pending))

    async def _await(self, turn: _Turn, pending: Awaitable[Any] | None = None) -> None:
        if self._ended(turn, await turn.call.run_async(pending)):
            self._go_on(on_loop=True)

    def _ended(self, turn: _Turn, response: Any) -> bool:
        """A handler has returned; whether anybody still waits for that."""
        if not turn.claim():
            return False
        self._take(response)
        return True

    def _take(self, response: Any) -> None:
        self._turn = None
        if isinstance(response, Refusal):
            latest = Outcome(error=response, failed=True)
        else:
            latest = Outcome(response, failed=bool(self._hooks.contract.failed(response)))
        self._index += 1
        if not self._outcome.failed:
            self._outcome = latest
        if self._outcome.failed and self._hook.name == "OnActivate":
            self._index = len(self._calls or ())

    def _finish(self) -> None:
        """Answers the first failure, or what the last handler has answered."""
        name, hooks, (response, error, failed) = self._hook.name, self._hooks, self._outcome
        if isinstance(error, Refusal):
            self.server.fail(self, error.code, error.details)
            return
        if name == "OnActivate" and not failed:
            hooks.author.post(hooks.plugin._start_jobs)
        if response is None:
            response = response_of(hooks.contract, name, self._request, None)
        self.server.succeed(self, response.SerializeToString())

    # -- its end before that -------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """See `ServerCall`."""
        turn = self._turn
        if turn is not None and turn.claim():
            turn.give_up(self._hooks.author)

    def expire(self, now: float) -> None:
        """See `ServerCall`."""
        hooks, turn = self._hooks, self._turn
        if turn is None and not self._hook.handlers:
            super().expire(now)
            return
        if turn is None:
            # It waits for a thread, or for the loop.
            handler = self._calls[self._index] if self._calls else HandlerCall(self._hook.handlers[0], [])
            call = HookCall(hooks.contract, hooks.name, self._hook.name, None, handler)
            is_async, end = _is_async(handler.function), self._handlers_end
        else:
            call, is_async, end = turn.call, turn.is_async, turn.end
        # What holds up the loop may wait, by way of the host, for this very call. It would to the end of both.
        if now < end and not (is_async and call.thread is None and hooks.author.held_up_by):
            self.expires = end
            return
        seconds = max(min(now, end) - self._begun, 0.0)
        lateness = call.lateness(hooks.author, hooks.author_thread, seconds, is_async=is_async)
        late = hook_call.late(hooks.name, self._hook.name)
        if turn is None:
            self.server.fail(self, late.code, late.details)
        elif turn.claim():
            turn.give_up(hooks.author)
            self._take(late)
            if self._index < len(self._calls or ()):
                self._elsewhere(is_async=_is_async((self._calls or [])[self._index].function))
            else:
                self._finish()
        else:
            return
        _log.error("%s %s", call.by, lateness)
