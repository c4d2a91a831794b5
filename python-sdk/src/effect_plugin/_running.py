"""The process of a plugin: from its start by a host to its end, whatever protocol it speaks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Coroutine
from typing import Any, Callable

from . import _process as process
from . import _tasks as tasks
from . import _watchdog as watchdog
from ._stopping import Stopping


def hear_of_the_end(stopping: Stopping, loop: asyncio.AbstractEventLoop, *, hosted: bool = True) -> None:
    """Has `stopping` set by signals, and when the host is gone. Called in the main thread, on its `loop`."""
    process.on_signals(loop, stopping.set, ignore_interrupt=hosted)
    if hosted:
        process.claim_stdout()
        process.watch_host(stopping.set)


def run(
    serving: Coroutine[Any, Any, None], new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
) -> None:
    """Runs a plugin as the process that its host has started, to its end; returns never.

    An error before the handshake goes to stderr, with exit code 1. `new_loop` makes the event loop.
    """
    try:
        loop = new_loop()
        asyncio.set_event_loop(loop)
        tasks.report_deaths(loop)
        loop.run_until_complete(_to_the_end(serving))
    except SystemExit as error:
        if isinstance(error.code, str):
            os.write(2, error.code.encode() + b"\n")
        process.leave(error.code if isinstance(error.code, int) else 1)
    except BaseException:
        with contextlib.suppress(OSError):
            traceback.print_exc(file=sys.__stderr__)
        process.leave(1)


async def _to_the_end(serving: Coroutine[Any, Any, None]) -> None:
    watchdog.watch(asyncio.get_running_loop(), run.__code__)
    await serving
    await tasks.end_all()
    process.end()
