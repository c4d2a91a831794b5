"""Threads for sync handlers."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable


class NoThreadError(Exception):
    """All threads are at work, and none became free in time."""


class HandlerThreads:
    """So many threads, and no more: a handler that is stuck keeps its own until it returns.

    With `patience` a call waits so many seconds for a thread at most.
    """

    def __init__(self, name: str, count: int, patience: float | None = None) -> None:
        self._count = count
        self._patience = patience
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)
        # Made by the first call: under Python 3.9 it belongs to the loop that makes it.
        self._free: asyncio.Semaphore | None = None

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls a function on a thread. NoThreadError, when the patience for a free one ends."""
        if self._free is None:
            self._free = asyncio.Semaphore(self._count)
        free = self._free
        if free.locked() and self._patience is not None:
            try:
                await asyncio.wait_for(free.acquire(), self._patience)
            except asyncio.TimeoutError:
                raise NoThreadError(f"all {self._count} threads are at work") from None
        else:
            await free.acquire()
        loop = asyncio.get_running_loop()

        def done(_: Future[Any]) -> None:
            # When the function has returned, which may be long after whoever has called it was cancelled.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(free.release)

        future = self._threads.submit(function, *args)
        future.add_done_callback(done)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Ends the threads, each as soon as its function has returned."""
        self._threads.shutdown(wait=False)
