"""What a plugin does by itself: methods that run now and then, and tasks in the background."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any, Callable, NamedTuple, TypeVar

from . import tasks
from .hooks import check_arguments
from .logs import own_logger
from .threads import HandlerThreads, run_handler

Job = TypeVar("Job", bound=Callable[[Any], "object | Awaitable[object]"])

#: The attribute of a method that runs now and then.
JOB_ATTRIBUTE = "_mattermost_plugin_job"

#: Threads for sync jobs: so many run at once.
_THREADS = 8

_log = own_logger("mattermost_plugin")


class JobSpec(NamedTuple):
    """When a job runs."""

    seconds: float
    at_once: bool


def every(*, seconds: float, at_once: bool = False) -> Callable[[Job], Job]:
    """Marks a method that runs every so many seconds, from the plugin's activation to its end; it may be `async def`.

    It runs for the first time after the interval, or, with `at_once`, right after the activation. The interval begins
    when a run has ended, so that no two overlap. What it raises is logged, and it runs again. Raises ValueError for an
    interval that is none, and HookRegistrationError for a method that takes arguments.
    """
    if not seconds > 0:
        raise ValueError(f"a job runs every so many seconds, more than none; not every {seconds!r}")

    def mark(method: Job) -> Job:
        check_arguments(method, "a job", [])
        setattr(method, JOB_ATTRIBUTE, JobSpec(seconds, at_once))
        return method

    return mark


def jobs_of(methods: Mapping[str, Any]) -> dict[str, JobSpec]:
    """The jobs among a class's methods, by name."""
    return {name: getattr(method, JOB_ATTRIBUTE) for name, method in methods.items() if hasattr(method, JOB_ATTRIBUTE)}


class Background:
    """A plugin's jobs and background tasks, on its event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads = HandlerThreads("job", _THREADS)
        self._jobs: set[asyncio.Task[Any]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def start_jobs(self, jobs: Mapping[Callable[[], Any], JobSpec]) -> None:
        """Has jobs run from now on, if they do not already."""
        if not self._jobs:
            self._jobs = {self._loop.create_task(self._repeat(job, spec)) for job, spec in jobs.items()}

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

    async def _repeat(self, job: Callable[[], Any], spec: JobSpec) -> None:
        if not spec.at_once:
            await asyncio.sleep(spec.seconds)
        while True:
            try:
                await run_handler(self._threads, job, [])
            except Exception:
                _log.exception("%s failed; it runs again in %g s", getattr(job, "__qualname__", job), spec.seconds)
            await asyncio.sleep(spec.seconds)

    async def end(self) -> None:
        """Cancels all, and waits a moment for it."""
        await tasks.cancel(self._jobs | self._tasks)
        self._threads.close()
