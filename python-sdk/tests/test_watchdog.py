"""Where handlers hang is told."""

from __future__ import annotations

import re

from .conftest import IN_GOOD_TIME, STUCK, StartPlugin, code_of


def line_of(source: str, text: str) -> int:
    """The line of the plugin's file that has the text first; the file has a header of three lines."""
    return 3 + next(number for number, line in enumerate(source.splitlines(), 1) if text in line)


def test_a_handler_that_does_not_return_is_told_with_its_line(start_plugin: StartPlugin) -> None:
    source = IN_GOOD_TIME + STUCK
    plugin = start_plugin(source)
    code_of(lambda: plugin.call("MessageWillBePosted", timeout=20))
    code_of(lambda: plugin.call("MessageWillBeUpdated", timeout=20))
    log = plugin.wait_for_log("(Stuck.stuck_async) did not return")
    sync, coroutine = line_of(source, "time.sleep(600)"), line_of(source, "await asyncio.sleep(600)")
    assert re.search(
        rf"\(Stuck\.stuck\) did not return within \d\.\d s; it is at plugin\.py:{sync}, in stuck\"", log
    ), log
    assert f"it is at plugin.py:{coroutine}, in stuck_async" in log


BLOCKING = """
    import effect_plugin._watchdog

    class Blocking(Plugin):
        @hook(HookName.MessageHasBeenPosted)
        async def blocks(self, ctx, post):
            time.sleep(4)

        @hook(HookName.MessageHasBeenUpdated)
        async def does_not(self, ctx, new, old):
            await asyncio.sleep(4)

    run_plugin(Blocking)
"""


def test_what_blocks_the_event_loop_is_told_with_its_line(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(BLOCKING)
    plugin.call("MessageHasBeenUpdated")
    assert "blocked" not in plugin.log()
    plugin.call("MessageHasBeenPosted")
    log = plugin.wait_for_log("the event loop runs again")
    place = f"it is at plugin.py:{line_of(BLOCKING, 'time.sleep(4)')}, in blocks"
    assert f"the event loop has been blocked for 3 s, and everything async with it; {place}" in log
    assert log.count("has been blocked") == 1
