"""What the reference server does, with coroutines; and the commands by which it is asked for more."""

import asyncio
import os
import time

from mattermost_plugin import HookName, Plugin, hook, run_plugin


class Async(Plugin):
    told = 0
    awaited = 0

    @hook(HookName.OnActivate)
    async def on_activate(self):
        self.all_told = asyncio.Event()

    @hook(HookName.MessageWillBePosted)
    async def check(self, ctx, post):
        if not post.message:
            return None, "it is empty"
        return None

    @hook(HookName.MessageHasBeenPosted)
    async def hear(self, ctx, post):
        if not post.message:
            self.logger.warning("an empty message was posted")
        self.told += 1
        if self.told == self.awaited:
            self.all_told.set()

    @hook(HookName.ExecuteCommand)
    async def answer(self, ctx, args):
        name, *numbers = args.command.split()
        if name == "/pid":
            return str(os.getpid())
        if name == "/told":
            return await self.told_of(int(numbers[0]))
        if name == "/pairs":
            return await self.pairs(*map(int, numbers))
        return f"there is no {name}"

    async def told_of(self, count: int) -> str:
        """Waits until it has been told so often since it last answered this."""
        self.all_told.clear()
        self.awaited = count
        if self.told < count:
            await self.all_told.wait()
        self.told -= count
        self.awaited = 0
        return "told"

    async def pairs(self, count: int, in_flight: int) -> str:
        """Milliseconds that so many pairs of KVSet and KVGet take, of which so many are in flight."""

        async def some() -> None:
            for _ in range(count // in_flight):
                await self.async_api.kv_set("key", b"value")
                assert await self.async_api.kv_get("key") == b"value"

        began = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(in_flight)))
        return str((time.perf_counter() - began) * 1000)


if __name__ == "__main__":
    run_plugin(Async)
