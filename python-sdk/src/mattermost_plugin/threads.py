"""Threads for sync handlers."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable


class NoThreadError(Exception):
    """All threads are at work, and none became free in time."""


class HandlerThreads:
    """So many threads, and no more: a handler that is stuck keeps its own until it returns."""

    def __init__(self, name: str, count: int) -> None:
        self.count = count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)
        # Made by the first call: under Python 3.9 it belongs to the loop that makes it.
        self._free: asyncio.Semaphore | None = None

    async def run(self, function: Callable[..., Any], *args: Any, patience: float | None = None) -> Any:
        """Calls a function on a thread. NoThreadError, if none is free within so many seconds."""
        if self._free is None:
            self._free = asyncio.Semaphore(self.count)
        free = self._free
        if free.locked() and patience is not None:
            try:
                await asyncio.wait_for(free.acquire(), patience)
            except asyncio.TimeoutError:
                raise NoThreadError(f"all {self.count} threads are at work") from None
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
