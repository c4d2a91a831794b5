"""Threads for sync handlers."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Awaitable
from typing import Any, Callable

from ._body import ClientDisconnected
from ._loops import EventLoop
from .logs import own_logger

_log = own_logger("effect_plugin")

#: Seconds after which it is looked whether the calls that wait get on, and more threads are brought in if they don't.
#: To wake one for every call costs more than most handlers take, and they hinder each other.
_LOOK = 0.002


class NoThreadError(Exception):
    """No thread has become free in time, or none can be started."""


class HandlerThreads:
    """So many threads, and no more: a handler that is stuck keeps its own until it returns.

    With `patience` a call waits so many seconds for a thread at most. Threads are started when they are needed: one
    works off what waits as long as that is quickly done. All but the threads themselves belongs to one event loop.
    """

    def __init__(self, name: str, count: int, patience: float | None = None) -> None:
        self._name = name
        self._count = count
        self._patience = patience
        self._loop: asyncio.AbstractEventLoop | None = None
        self._home: EventLoop | None = None
        self._waiting: deque[_Call] = deque()
        self._wakes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._awake = 0
        self._unfinished = 0
        self._begun = 0
        self._look: asyncio.TimerHandle | None = None
        self._closed = False

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls a function on a thread. NoThreadError, when the patience for a free one ends, or there are none."""
        return await self.submit(function, *args)

    def submit(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """The same, as a future. What is cancelled before it has begun never does."""
        if self._closed:
            raise NoThreadError("the plugin is ending")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._home = EventLoop.of(self._loop)
        if not self._started:
            self._start()
        call = _Call(function, args, self._loop.create_future())
        self._unfinished += 1
        self._waiting.append(call)
        if not self._bring_in(1, if_asleep=True) and self._look is None:
            self._look_soon(call)
        if self._unfinished > self._count and self._patience is not None:
            call.patience = self._loop.call_later(self._patience, self._give_up, call)
        call.answer.add_done_callback(call.answered)
        return call.answer

    def _look_soon(self, newest: _Call) -> None:
        assert self._loop is not None
        now, used = time.monotonic(), time.process_time()
        self._look = self._loop.call_later(_LOOK, self._see, self._begun, newest, now, used)

    def _see(self, begun: int, newest: _Call, then: float, used: float) -> None:
        """Looks after the calls that wait: brings in threads if none has begun, or if the newest then has not yet."""
        self._look = None
        assert self._home is not None
        self._home.do_left()
        if not self._waiting:
            return
        # Threads that compute get nothing done sooner by being more: only one at a time computes.
        computes = time.process_time() - used > (time.monotonic() - then) / 2
        if self._begun == begun:
            self._bring_in(1 if computes else len(self._waiting))
        elif not computes and not newest.is_claimed:
            self._bring_in(self._awake)
        with contextlib.suppress(IndexError):
            self._look_soon(self._waiting[-1])

    def _bring_in(self, count: int, *, if_asleep: bool = False) -> bool:
        """Wakes or starts so many threads, if all are asleep or in any case; whether it did."""
        with self._lock:
            if if_asleep and self._awake:
                return False
            asleep = min(count, self._started - self._awake)
            self._awake += asleep
        for _ in range(asleep):
            self._wakes.put(True)
        for _ in range(min(count - asleep, self._count - self._started)):
            with contextlib.suppress(NoThreadError):
                self._start()
        return True

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True)
        with self._lock:
            self._started += 1
            self._awake += 1
        try:
            thread.start()
        except RuntimeError as error:
            with self._lock:
                self._started -= 1
                self._awake -= 1
            raise NoThreadError(f"no thread can be started: {error}") from None

    def _give_up(self, call: _Call) -> None:
        if call.claim() and not call.answer.done():
            call.answer.set_exception(NoThreadError(f"all {self._started} threads are at work"))

    def _next(self) -> _Call | None:
        """What a thread does next; it sleeps while there is nothing. None at the end."""
        while True:
            with contextlib.suppress(IndexError):
                return self._waiting.popleft()
            with self._lock:
                if self._waiting:
                    continue
                self._awake -= 1
            if not self._wakes.get():
                return None

    def _work(self) -> None:
        while (call := self._next()) is not None:
            result, error = None, None
            if not call.answer.cancelled() and call.claim():
                self._begun += 1
                try:
                    result = call.function(*call.args)
                except BaseException as raised:
                    error = raised
            # When the function has returned, which may be long after whoever has called it was cancelled.
            assert self._home is not None
            self._home.leave(self._finish, call, result, error)
            # A loop that is woken takes the interpreter, for which the next call would have to wait. So whoever takes
            # the last one wakes it for all. If that takes long, `_see` does, which looks as long as any wait; so this
            # has to be in its reach before it is decided that one does.
            if not self._waiting:
                self._home.wake()
            # Nothing of it may stay until the next call.
            del call, result, error

    def _finish(self, call: _Call, result: Any, error: BaseException | None) -> None:
        self._unfinished -= 1
        if call.answer.done():
            if error is not None and not isinstance(error, ClientDisconnected):
                _log.error("a handler failed that nobody waited for any more", exc_info=error)
        elif error is None:
            call.answer.set_result(result)
        else:
            call.answer.set_exception(error)

    def close(self) -> None:
        """Ends the threads, each as soon as its function has returned."""
        self._closed = True
        for _ in range(self._started):
            self._wakes.put(False)


class _Call:
    """A function that waits for a thread, or runs on one."""

    __slots__ = ("_claims", "answer", "args", "function", "is_claimed", "patience")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], answer: asyncio.Future[Any]) -> None:
        self.function = function
        self.args = args
        self.answer = answer
        self.patience: asyncio.TimerHandle | None = None
        self.is_claimed = False
        self._claims = itertools.count()

    def claim(self) -> bool:
        """Whether the caller is the first, and so the one to answer it. For any thread."""
        self.is_claimed = True
        return next(self._claims) == 0

    def answered(self, answer: asyncio.Future[Any]) -> None:
        """Its answer is there, or nobody waits for it: what has not begun never does, and holds nothing on to."""
        if self.patience is not None:
            self.patience.cancel()
        if answer.cancelled() and self.claim():
            self.function, self.args = _nothing, ()


def _nothing() -> None:
    pass


async def run_handler(
    threads: HandlerThreads, handler: Callable[..., Any], args: list[Any], author: EventLoop | None = None
) -> Any:
    """Runs a handler: a coroutine on its author's loop, or the caller's; anything else on a thread."""
    if not inspect.iscoroutinefunction(handler):
        return await run_on_thread(threads, handler, args, author)
    try:
        return await _on(author, handler, *args)
    except SystemExit as error:
        raise as_failure(error) from error


async def run_on_thread(
    threads: HandlerThreads, handler: Callable[..., Any], args: list[Any], author: EventLoop | None = None
) -> Any:
    """Runs a handler that is no coroutine function."""
    try:
        # A thread has a context of its own, in which the call's would be missing.
        result = await threads.run(contextvars.copy_context().run, _called, handler, args)
        # A decorator may have hidden that the handler is `async def`.
        is_awaitable = result is not None and inspect.isawaitable(result)
        return await _on(author, awaited, result) if is_awaitable else result
    except SystemExit as error:
        raise as_failure(error) from error


async def _on(author: EventLoop | None, function: Callable[..., Any], *args: Any) -> Any:
    return await (function(*args) if author is None else author.run(function, *args))


def _called(handler: Callable[..., Any], args: list[Any]) -> Any:
    try:
        return handler(*args)
    except StopIteration as error:
        raise as_failure(error) from error


async def awaited(result: Awaitable[Any]) -> Any:
    """What an awaitable answers."""
    return await result


def as_failure(error: BaseException) -> BaseException:
    """What a handler has raised, as something that only its own call fails with."""
    if isinstance(error, SystemExit):
        # argparse exits when a user mistypes a command: that is this call's end, not the plugin's.
        failure = RuntimeError(f"the handler called sys.exit({error.code!r})")
    elif isinstance(error, StopIteration):
        # No future takes it: the call would never end.
        failure = RuntimeError("the handler raised StopIteration")
    else:
        return error
    failure.__cause__ = error
    return failure
