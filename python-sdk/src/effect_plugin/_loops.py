"""Event loops on threads of their own, and what is handed from one to the other.

What talks to the host has one loop, and the plugin's author another one, in the main thread, where libraries expect to
be. So whatever a handler does, the host is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import queue
import sys
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Iterator
from io import FileIO
from typing import Any, Callable, ClassVar

#: Seconds that a loop's thread has to end.
_END_LIMIT = 5.0

#: Bytes that are read of the pipe by which a loop is woken: more than ever wait there.
_WAKE_UPS = 64


class EventLoop:
    """A loop, for the threads that it does not run on."""

    _known: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, EventLoop]] = weakref.WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not the loop itself: it would never be forgotten.
        self._loop = weakref.ref(loop)
        self._posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_woken = False
        self._waker: FileIO | None = None
        #: Of who waits for the next that is posted, if anybody does.
        self._waits_for_post: queue.SimpleQueue[None] | None = None
        #: The method of the host API, if any, that something on the loop has called and waits for.
        self.held_up_by = ""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop itself. RuntimeError when it is gone."""
        loop = self._loop()
        if loop is None:
            raise RuntimeError("the event loop is gone")
        return loop

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        loop = self._loop()
        return loop is not None and loop.is_running()

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> EventLoop:
        """The one of this loop."""
        found = cls._known.get(loop)
        return found if found is not None else cls._known.setdefault(loop, cls(loop))

    @classmethod
    def here(cls) -> EventLoop:
        """The one that the caller runs on."""
        return cls.of(asyncio.get_running_loop())

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Calls a function on the loop, soon. For any thread; functions are called in the order of their posting.

        A wake-up of another thread costs more than most of what is posted, so there is one for all that is waiting.
        """
        self._posted.append((function, args))
        if not self._is_woken:
            self._wake()
        waiting = self._waits_for_post
        if waiting is not None:
            self._waits_for_post = None
            waiting.put(None)

    def is_posted_to(self, wakes: queue.SimpleQueue[None], seconds: float) -> bool:
        """Waits so long for something to be posted; whether it is. For one thread, with a queue of its own."""
        self._waits_for_post = wakes
        try:
            wakes.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def leave(self, function: Callable[..., object], *args: Any) -> None:
        """The same without waking the loop, for who does that later, or knows who does."""
        self._posted.append((function, args))

    def wake(self) -> None:
        """Has the loop call what has been left. For any thread."""
        if not self._is_woken:
            self._wake()

    def do_left(self) -> None:
        """Calls what has been left. On the loop."""
        self._work()

    @contextlib.contextmanager
    def woken_quickly(self) -> Iterator[None]:
        """Spares who posts a third of what the loop's own way of being woken takes. Entered and left on its thread."""
        if sys.platform == "win32":
            # Its loop knows sockets only.
            yield
            return
        loop, (reading, writing) = self.loop, os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        with FileIO(reading) as pipe, FileIO(writing, "w") as self._waker:
            loop.add_reader(reading, self._woken, pipe)
            try:
                yield
            finally:
                self._waker = None
                loop.remove_reader(reading)

    def _woken(self, pipe: FileIO) -> None:
        pipe.read(_WAKE_UPS)
        self._work()

    def _wake(self) -> None:
        self._is_woken = True
        loop, waker = self._loop(), self._waker
        # What has ended takes nothing.
        with contextlib.suppress(RuntimeError, ValueError):
            if waker is not None:
                waker.write(b"\0")
            elif loop is not None:
                loop.call_soon_threadsafe(self._work)

    def _work(self) -> None:
        # First this: what is posted from here on wakes the loop again.
        self._is_woken = False
        try:
            for _ in range(len(self._posted)):
                function, args = self._posted.popleft()
                function(*args)
        finally:
            if self._posted and not self._is_woken:
                self._wake()

    async def run(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Awaits what a coroutine function answers, which runs on the loop, whichever one the caller runs on.

        On another one it is a task of its own, in the caller's context, which is cancelled with the caller.
        """
        if self._loop() is asyncio.get_running_loop():
            return await function(*args)
        handed = self.hand(function, *args)
        try:
            return await handed.answer
        except asyncio.CancelledError:
            handed.cancel()
            raise

    def hand(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Handed:
        """The same from another loop, for who waits in a way of its own."""
        handed = Handed(self, function, args)
        self.post(handed.start)
        return handed


class Handed:
    """A coroutine on one loop, and its answer, which another one awaits."""

    __slots__ = ("_args", "_context", "_function", "_home", "_task", "_there", "answer")

    def __init__(self, there: EventLoop, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        loop = asyncio.get_running_loop()
        self._there = there
        self._home = EventLoop.of(loop)
        self._function = function
        self._args = args
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[None] | None = None
        #: Who cancels it keeps the coroutine from beginning, and nothing more.
        self.answer: asyncio.Future[Any] = loop.create_future()

    def start(self) -> None:
        """Begins, on the loop it is for."""
        if not self.answer.cancelled():
            self._task = self._context.run(start_task, self._run)

    async def _run(self) -> None:
        try:
            result = await self._function(*self._args)
        except BaseException as error:
            # Whoever awaits it is told, and nobody else: SystemExit, for example, would end the loop.
            self._home.post(self._fail, error)
        else:
            self._home.post(self._succeed, result)

    def _succeed(self, result: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if not self.answer.done():
            if isinstance(error, asyncio.CancelledError):
                self.answer.cancel()
            else:
                self.answer.set_exception(error)

    def cancel(self) -> None:
        """Cancels the coroutine, whose answer nobody awaits any more."""
        self.answer.cancel()
        self._there.post(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


if sys.version_info >= (3, 12):

    def start_task(function: Callable[[], Any]) -> asyncio.Task[Any]:
        """Runs a coroutine function as a task, of which it does the first step at once."""
        return asyncio.Task(function(), loop=asyncio.get_running_loop(), eager_start=True)

else:

    def start_task(function: Callable[[], Any]) -> asyncio.Task[Any]:
        """Runs a coroutine function as a task."""
        return asyncio.Task(function())


@contextlib.contextmanager
def on_thread(name: str, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[EventLoop]:
    """A loop that runs on a thread of its own, to the end of the block."""
    loop = new_loop()

    def run() -> None:
        asyncio.set_event_loop(loop)
        with EventLoop.of(loop).woken_quickly():
            loop.run_forever()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield EventLoop.of(loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_END_LIMIT)
        if not thread.is_alive():
            loop.close()
