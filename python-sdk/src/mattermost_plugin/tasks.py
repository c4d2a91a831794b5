"""The plugin's asyncio tasks, whoever has made them: those that die, and those that are left at the end."""

from __future__ import annotations

import asyncio
from typing import Any

from .logs import own_logger

_log = own_logger("mattermost_plugin")

#: Seconds after a task's death within which somebody who awaits it has heard of it.
_HEARD = 1.0

#: Seconds that tasks have for their `finally` when the plugin ends. A host waits two for all of the plugin's end.
_END_LIMIT = 0.5


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
        _log.error("a task has died: %s", _name(task), exc_info=task.exception())


def _name(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", None) or task.get_name()


async def end_all() -> None:
    """Cancels all tasks but the one that calls this, and waits a moment for their end."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if not left:
        return
    done, going = await asyncio.wait(left, timeout=_END_LIMIT)
    for task in done:
        if not task.cancelled() and task.exception() is not None:
            _log.error("a task failed at the plugin's end: %s", _name(task), exc_info=task.exception())
    for task in going:
        _log.warning("a task did not end when it was cancelled: %s", _name(task))
