"""What a plugin does by itself: methods that run now and then, and tasks in the background."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from . import _tasks as tasks
from ._hooks import HookRegistrationError, check_arguments
from ._registry import JOB_ATTRIBUTE
from ._threads import HandlerThreads, run_handler
from .logs import own_logger

if TYPE_CHECKING:
    from ._schedule import Clock, Schedule

Job = TypeVar("Job", bound=Callable[[Any], "object | Awaitable[object]"])

#: Threads for sync jobs: so many run at once.
_THREADS = 8

_log = own_logger("effect_plugin")


def every(*, seconds: float, at_once: bool = False) -> Callable[[Job], Job]:
    """Marks a method that runs every so many seconds, from the plugin's activation to its end; it may be `async def`.

    It runs for the first time after the interval, or, with `at_once`, right after the activation. The interval begins
    when a run has ended, so that no two overlap. What it raises is logged, and it runs again. Raises ValueError for an
    interval that is none, and HookRegistrationError for a method that takes arguments or has a schedule already.
    """
    if not seconds > 0:
        raise ValueError(f"a job runs every so many seconds, more than none; not every {seconds!r}")
    from ._schedule import Every

    return _job(Every(seconds, at_once))


def cron(expression: str, *, timezone: str = "UTC") -> Callable[[Job], Job]:
    """Marks a method that runs at the times of a cron expression, while the plugin is active; it may be `async def`.

    The expression has five fields, as in `@cron("30 9 * * mon-fri")`, or is `@hourly`, `@daily`, `@weekly`, `@monthly`
    or `@yearly`; `timezone` is the one that it is read in, such as "Europe/Vienna". What the method raises is logged,
    and it runs again. A time that comes while a run lasts, or while the machine sleeps, is left out, which is logged.

    When clocks go forward, times in the hour that is left out are kept right after it; when they go back, times in the
    hour that comes twice are kept once. Expressions whose minute or hour begins with `*` go on as if nothing were.

    Needs the extra `cron` of the package, and raises ImportError without. Raises ValueError for an expression or a time
    zone that there is not, and HookRegistrationError for a method that takes arguments or has a schedule already.
    """
    from ._schedule import Cron

    return _job(Cron(expression, timezone))


def _job(schedule: Schedule) -> Callable[[Job], Job]:
    def mark(method: Job) -> Job:
        check_arguments(method, "a job", [])
        if hasattr(method, JOB_ATTRIBUTE):
            # Two would overlap.
            raise HookRegistrationError(f"{getattr(method, '__qualname__', method)} has two schedules; keep one")
        setattr(method, JOB_ATTRIBUTE, schedule)
        return method

    return mark


class Background:
    """A plugin's jobs and background tasks, on its event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock | None = None) -> None:
        self._loop = loop
        self._clock = clock
        self._threads = HandlerThreads("job", _THREADS)
        self._jobs: set[asyncio.Task[Any]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def start_jobs(self, jobs: Mapping[Callable[[], Any], Schedule]) -> None:
        """Has jobs run from now on, if they do not already."""
        if jobs and not self._jobs:
            from ._schedule import Clock

            clock = self._clock or Clock()
            self._jobs = {self._loop.create_task(self._repeat(job, schedule, clock)) for job, schedule in jobs.items()}

    def stop_jobs(self) -> None:
        """Has them run no more."""
        for job in self._jobs:
            job.cancel()
        self._jobs = set()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Runs a coroutine as a task. For any thread."""
        with contextlib.suppress(RuntimeError):
            if asyncio.get_running_loop() is self._loop:
                return self._start(coroutine)
        self._loop.call_soon_threadsafe(self._start, coroutine)

    def _start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a background task failed: %s", tasks.name_of(task), exc_info=task.exception())

    async def _repeat(self, job: Callable[[], Any], schedule: Schedule, clock: Clock) -> None:
        name = getattr(job, "__qualname__", None) or repr(job)
        wait = schedule.begin(clock, name)
        while True:
            await wait()
            try:
                await run_handler(self._threads, job, [])
            except Exception:
                _log.exception("%s failed; it runs again %s", name, schedule)

    async def end(self) -> None:
        """Cancels all, and waits a moment for it."""
        await tasks.cancel(self._jobs | self._tasks)
        self._threads.close()
