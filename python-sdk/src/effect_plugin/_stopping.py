"""The plugin's end, as whoever hears of it tells whoever sees to it."""

from __future__ import annotations

import asyncio
import contextlib


class Stopping:
    """Whether the plugin is to end. Set from any thread, awaited on the loop it was made for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._told: asyncio.Future[None] = loop.create_future()

    def set(self) -> None:
        """The plugin is to end; once is enough."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if not self._told.done():
            self._told.set_result(None)

    def is_set(self) -> bool:
        """Whether it is to."""
        return self._told.done()

    async def wait(self) -> None:
        """Waits until it is."""
        await asyncio.shield(self._told)
