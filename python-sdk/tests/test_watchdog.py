"""Where handlers hang is told."""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from effect_plugin import _watchdog as watchdog
from effect_plugin._loops import EventLoop

from .conftest import IN_GOOD_TIME, LIMIT, STUCK, StartPlugin, code_of
from .goplugin import check
from .wire import HealthCheckResponse


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


UNWELL = """
    import effect_plugin._watchdog

    effect_plugin._watchdog.UNWELL = 0.2

    class Blocking(Plugin):
        @hook(HookName.MessageHasBeenPosted)
        async def blocks(self, ctx, post):
            while not os.path.exists("GATE"):
                time.sleep(0.01)

    run_plugin(Blocking)
"""


def test_a_plugin_whose_event_loop_is_blocked_for_long_says_that_it_is_unwell(
    start_plugin: StartPlugin, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    plugin = start_plugin(UNWELL.replace("GATE", str(gate)))
    assert check(plugin.channel) == HealthCheckResponse.SERVING

    def wait_until(status: int) -> None:
        end = time.monotonic() + LIMIT
        while check(plugin.channel) != status:
            assert time.monotonic() < end
            time.sleep(0.02)

    with ThreadPoolExecutor() as threads:
        call = threads.submit(plugin.call, "MessageHasBeenPosted")
        wait_until(HealthCheckResponse.NOT_SERVING)
        gate.touch()
        call.result()
    wait_until(HealthCheckResponse.SERVING)


NOT_PYTHONS = """
    import effect_plugin._watchdog

    effect_plugin._watchdog._GLANCES = 1

    class Blocking(Plugin):
        @hook(HookName.MessageHasBeenPosted)
        async def blocks(self, ctx, post):
            # No code of Python's runs meanwhile on a loop that is not Python's either.
            asyncio.get_running_loop().call_soon(time.sleep, 6)

    run_plugin(Blocking)
"""


def test_what_blocks_the_event_loop_is_told_where_the_stack_does_not_show_it(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(NOT_PYTHONS)
    plugin.call("MessageHasBeenPosted")
    assert plugin.wait_for_log("the event loop runs again").count("has been blocked for 3 s") == 1


@pytest.mark.parametrize("posts", [False, True])
def test_a_loop_that_is_idle_is_not_woken(monkeypatch: pytest.MonkeyPatch, posts: bool) -> None:
    """It is looked at, and asked only now and then; and what is posted to it has it looked at soon."""
    asked, seen = 0, 0
    ask, is_idle = watchdog._ask, watchdog._is_idle

    async def until_seen(times: int) -> int:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()

        def count_asked(asked_loop: Any) -> Any:
            nonlocal asked
            asked += 1
            return ask(asked_loop)

        def count_seen(frame: Any, runs: Any) -> bool:
            nonlocal seen
            seen = seen + 1 if (idle := is_idle(frame, runs)) else 0
            if seen == times:
                loop.call_soon_threadsafe(told.set)
            return idle

        monkeypatch.setattr(watchdog, "_ask", count_asked)
        monkeypatch.setattr(watchdog, "_is_idle", count_seen)
        monkeypatch.setattr(watchdog, "_LOOK", 0.001)
        # With posts nobody waits for the end of a rest.
        monkeypatch.setattr(watchdog, "_LOOK_AT_REST", 600 if posts else 0.001)
        monkeypatch.setattr(watchdog, "_RESTS_AFTER", 3)
        watchdog.watch(loop)
        if posts:
            while not told.is_set():
                EventLoop.of(loop).post(lambda: None)
                await asyncio.sleep(0.01)
        await asyncio.wait_for(told.wait(), LIMIT)
        return asked

    asked = asyncio.run(until_seen(4 if posts else watchdog._GLANCES))
    assert posts or asked <= 2
