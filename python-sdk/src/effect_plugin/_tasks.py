"""The plugin's asyncio tasks, whoever has made them: those that die, and those that are left at the end."""

from __future__ import annotations

import asyncio
from typing import Any

from .logs import own_logger

_log = own_logger("effect_plugin")

#: Seconds after a task's death within which somebody who awaits it has heard of it.
_HEARD = 1.0

#: Seconds that tasks have for their `finally` when they are cancelled. A host waits two for all of the plugin's end.
_END_LIMIT = 0.5

_Tasks = set["asyncio.Task[Any]"]


def report_deaths(loop: asyncio.AbstractEventLoop) -> None:
    """Has a loop log the exceptions of tasks that nobody asks for.

    asyncio itself tells of them when a task is thrown away, which never happens to one that is kept.
    """

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        task.add_done_callback(_died)
        return task

    loop.set_task_factory(make)


def _died(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and _is_unheard(task):
        task.get_loop().call_later(_HEARD, _report, task)


def _is_unheard(task: asyncio.Task[Any]) -> bool:
    # What asyncio goes by when it throws a task away; nobody else knows whether the exception was asked for.
    return bool(getattr(task, "_log_traceback", False))


def _report(task: asyncio.Task[Any]) -> None:
    if _is_unheard(task):
        _log.error("a task has died: %s", name_of(task), exc_info=task.exception())


def name_of(task: asyncio.Task[Any]) -> str:
    """A task's coroutine."""
    return getattr(task.get_coro(), "__qualname__", None) or task.get_name()


async def cancel(tasks: _Tasks) -> tuple[_Tasks, _Tasks]:
    """Cancels tasks, and waits a moment for it; answers those that have ended and those that have not."""
    for task in tasks:
        task.cancel()
    return await asyncio.wait(tasks, timeout=_END_LIMIT) if tasks else (set(), set())


async def end_all() -> None:
    """Cancels all tasks but the one that calls this, and tells of those that fail then, or don't end."""
    done, going = await cancel({task for task in asyncio.all_tasks() if task is not asyncio.current_task()})
    for task in done:
        if not task.cancelled() and task.exception() is not None:
            _log.error("a task failed at the plugin's end: %s", name_of(task), exc_info=task.exception())
    for task in going:
        _log.warning("a task did not end when it was cancelled: %s", name_of(task))
