"""One call of a hook on its handler's side: from the request's message to the response's."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _watchdog as watchdog
from ._calls import LIFE_HOOKS, HandlerCall
from ._dispatch import HookFailed, HookResultError, response_of, sayable, text_of
from ._loops import EventLoop
from ._status import Code
from ._threads import as_failure
from .logs import own_logger

if TYPE_CHECKING:
    from .contract import Contract

#: Characters of a status' details, which travel as a header: gRPC takes 8 KiB of them, and a character has up to 12.
_DETAILS_LIMIT = 500

#: Threads for sync handlers of hooks; those of ServeHTTP have others (`Plugin.http_threads`): no client may keep hooks
#: waiting. A handler that is stuck keeps its thread, so there are more than ever run at once.
HANDLER_THREADS = 64

#: A handler's time ends this much before its call's, so that the host hears of it from us.
_DEADLINE_SHARE = 0.95

_log = own_logger("effect_plugin")


def seconds_for(remaining: float | None, timeout: float) -> float:
    """Seconds that a hook's handlers have, of those that the call has, if it says so, or else of the host's timeout."""
    return timeout if remaining is None else max(remaining * _DEADLINE_SHARE, 0.001)


def late(plugin: str, name: str) -> Refusal:
    """The status of a call whose handler has not returned in time."""
    return Refusal(details(plugin, name, "did not return in time"), Code.DEADLINE_EXCEEDED)


def details(plugin: str, by: str, how: str) -> str:
    """What has failed, and how, as a status' details."""
    return sayable(f"plugin {plugin}: {by} {how}", _DETAILS_LIMIT)


class Refusal(Exception):
    """A failure that the hook's response can't say: the call ends with a status."""

    def __init__(self, details: str, code: Code = Code.INTERNAL) -> None:
        super().__init__(details)
        self.details = details
        self.code = code


class Pending(NamedTuple):
    """What a handler that is not `async def` has returned, and is to be awaited."""

    result: Awaitable[Any]


class HookCall:
    """A call whose handler runs on another thread than what waits for it.

    All that the author's code has a part in happens there, what it raises and returns included. What waits is given a
    message, or a `Refusal`.
    """

    def __init__(self, contract: Contract, plugin: str, name: str, request: Any, call: HandlerCall) -> None:
        self._contract = contract
        self._plugin = plugin
        self._name = name
        self._request = request
        self._call = call
        self._is_given_up = False
        #: The thread on which the handler has begun.
        self.thread: int | None = None
        self._task: asyncio.Task[Any] | None = None

    @property
    def by(self) -> str:
        """The hook and its handler, for the log."""
        return f"{self._name} ({self._call.name})"

    def run(self) -> Any:
        """Runs a handler that is not `async def`."""
        self.thread = threading.get_ident()
        try:
            result = self._call.function(*self._call.args)
            if result is not None and inspect.isawaitable(result):
                return Pending(result)
            return self._response(result)
        except BaseException as error:
            return self.failed(error)

    async def run_async(self, pending: Awaitable[Any] | None = None) -> Any:
        """Runs one that is, or what is `Pending`."""
        self.thread = threading.get_ident()
        self._task = asyncio.current_task()
        try:
            return self._response(await (self._call.function(*self._call.args) if pending is None else pending))
        except BaseException as error:
            return self.failed(error)

    def give_up(self) -> None:
        """Nobody waits any more."""
        self._is_given_up = True

    def place(self) -> str:
        """Where a handler is that has begun."""
        if self._task is not None and not watchdog.is_running(self._task):
            return watchdog.place_of_task(self._task)
        return watchdog.place_of_thread(self.thread or 0)

    def lateness(self, author: EventLoop, author_thread: int, seconds: float, *, is_async: bool) -> str:
        """What is said of a handler that has not returned within so many seconds, while it is where it is."""
        within = f"within {seconds:.1f} s"
        if self.thread is not None:
            return f"did not return {within}; it is at {self.place()}"
        if is_async:
            name = author.held_up_by
            cure = f"; that waits for {name}(), instead of async_{name}()" if name else ""
            place = watchdog.place_of_thread(author_thread)
            return f"could not begin {within}: the event loop is at {place}{cure}"
        return f"could not begin, with {HANDLER_THREADS} others at work, {within}"

    def refusal(self, by: str, how: str) -> Refusal:
        """The call's failure, as the host is told."""
        return Refusal(details(self._plugin, by, how))

    def _response(self, result: Any) -> Any:
        if self._is_given_up:
            return None
        try:
            response = response_of(self._contract, self._name, self._request, result)
        except HookFailed as error:
            _log.error("%s failed: %s", self.by, error)
            return Refusal(sayable(str(error), _DETAILS_LIMIT), Code.FAILED_PRECONDITION)
        if self._name in LIFE_HOOKS and (failed := self._contract.failed(response)):
            _log.error("%s failed: %s", self.by, failed)
        return response

    def failed(self, raised: BaseException) -> Any:
        """What the host is told of an exception; the log has all of it."""
        error = as_failure(raised)
        if self._is_given_up:
            if not isinstance(error, asyncio.CancelledError):
                _log.error("%s failed, after its time was over", self.by, exc_info=error)
            return None
        if isinstance(error, HookResultError):
            _log.error("%s %s", self.by, error)
            return self.refusal(self.by, str(error))
        _log.error("%s failed", self.by, exc_info=error)
        # Nobody but the operator is told what an exception says: it may hold what is not theirs to see.
        text = text_of(error) if self._name in LIFE_HOOKS else ""
        kind = type(error).__name__
        refusal = self.refusal(self._name, f"raised {kind}")
        said = f"{kind}: {text}" if text else refusal.details
        return self._contract.failure(self._name, said) or Refusal(sayable(said, _DETAILS_LIMIT))
