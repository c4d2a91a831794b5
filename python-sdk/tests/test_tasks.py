"""asyncio tasks that die, or are left at the end, and handlers that fail when nobody waits any more."""

from __future__ import annotations

from .conftest import IN_GOOD_TIME, StartPlugin, code_of

BOTH_PROTOCOLS = True

TASKS = """
    async def dies():
        raise ValueError("of a task")

    async def stays(plugin):
        try:
            await asyncio.sleep(600)
        finally:
            plugin.logger.info("it is cleaned up")

    async def ignores(plugin):
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                plugin.logger.info("it is not impressed")

    class P(Plugin):
        @hook(HookName.OnActivate)
        async def activate(self):
            # Kept, so that asyncio does not tell of it.
            self.kept = asyncio.create_task(dies())
            self.staying = asyncio.create_task(stays(self))
            heard = asyncio.create_task(dies())
            try:
                await heard
            except ValueError:
                self.logger.info("this one is heard")

        @hook(HookName.OnConfigurationChange)
        async def changed(self):
            self.ignoring = asyncio.create_task(ignores(self))

    run_plugin(P)
"""


def test_a_task_that_dies_is_told_once(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(TASKS)
    plugin.call("OnActivate")
    plugin.wait_for_log("a task has died: dies")
    plugin.shut_down()
    assert plugin.wait() == 0
    log = plugin.log()
    assert log.count("ValueError: of a task") == 1, log
    assert "this one is heard" in log


def test_tasks_are_cancelled_at_the_end(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(TASKS)
    plugin.call("OnActivate")
    plugin.call("OnConfigurationChange")
    plugin.shut_down()
    assert plugin.wait() == 0
    log = plugin.log()
    assert "it is cleaned up" in log
    assert "it is not impressed" in log and "did not end when it was cancelled: ignores" in log


LATE = """
    class Late(Plugin):
        @hook(HookName.MessageWillBePosted)
        def late(self, ctx, post):
            self.logger.info("begun")
            time.sleep(1.5)
            raise ValueError("of a thread, late")

        @hook(HookName.MessageWillBeUpdated)
        async def late_async(self, ctx, new, old):
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                raise ValueError("of a coroutine, late") from None

    run_plugin(Late)
"""


def test_what_fails_after_its_time_is_told(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IN_GOOD_TIME + LATE)
    code_of(lambda: plugin.call("MessageWillBePosted"))
    code_of(lambda: plugin.call("MessageWillBeUpdated"))
    log = plugin.wait_for_log("ValueError: of a thread, late")
    log = plugin.wait_for_log("ValueError: of a coroutine, late")
    assert "MessageWillBeUpdated (Late.late_async) failed, after its time was over" in log
