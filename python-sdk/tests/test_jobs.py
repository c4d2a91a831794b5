"""Methods that run now and then, and tasks in the background."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import Any

import grpc
import pytest

from mattermost_plugin import HookName, HookRegistrationError, Plugin, every, hook
from mattermost_plugin.testing import PluginHost

from .conftest import LIMIT, StartPlugin

BOTH_PROTOCOLS = True

JOBS = """
    from mattermost_plugin import every

    class P(Plugin):
        count = 0

        @every(seconds=0.05)
        def work(self):
            self.count += 1
            self.logger.info("run %d", self.count)
            if self.count == 2:
                raise ValueError("of the second")

        @every(seconds=600, at_once=True)
        async def once(self):
            self.logger.info("at once")
            try:
                await asyncio.sleep(600)
            finally:
                self.logger.info("it is cleaned up")

        @hook(HookName.OnConfigurationChange)
        def refuse(self):
            pass

        @hook(HookName.OnDeactivate)
        def deactivate(self):
            self.logger.info("there were %d", self.count)

    run_plugin(P)
"""


def test_jobs_run_from_the_activation_to_the_end(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(JOBS)
    plugin.call("OnConfigurationChange")
    assert "run 1" not in plugin.log()
    plugin.call("OnActivate")
    plugin.wait_for_log("at once")
    log = plugin.wait_for_log("run 4")
    assert "P.work failed; it runs again in 0.05 s" in log and "ValueError: of the second" in log
    plugin.call("OnDeactivate")
    plugin.wait_for_log("it is cleaned up")
    plugin.shut_down()
    assert plugin.wait() == 0
    runs = plugin.log().count('"@message": "run ')
    assert plugin.log().index("there were") > plugin.log().index(f"run {runs - 1}")


def test_jobs_of_a_plugin_that_can_t_be_activated_don_t_run(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class P(Plugin):
        @every(seconds=0.01, at_once=True)
        def work(self):
            self.logger.info("a run")

        @hook(HookName.OnActivate)
        def activate(self):
            return "not today"

    run_plugin(P)
    """)
    assert "not today" in plugin.call("OnActivate").error.message
    plugin.shut_down()
    assert plugin.wait() == 0
    assert "a run" not in plugin.log()


def test_no_interval_and_arguments() -> None:
    for seconds in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="a job runs every so many seconds"):
            every(seconds=seconds)
    with pytest.raises(HookRegistrationError, match=r"can't handle a job: it must take \(self\)"):

        @every(seconds=1)  # type: ignore[type-var]
        def wrong(self: Any, what: str) -> None: ...


class Backgrounds(Plugin):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.ran = threading.Event()
        self.ended = threading.Event()

    async def work(self) -> None:
        self.ran.set()
        try:
            await asyncio.sleep(600)
        finally:
            self.ended.set()

    async def fail(self) -> None:
        raise ValueError("in the background")

    @hook(HookName.OnActivate)
    def activate(self) -> None:
        self.create_task(self.work())

    @hook(HookName.OnConfigurationChange)
    async def changed(self) -> None:
        self.create_task(self.fail())


def test_background_tasks_of_sync_and_async_handlers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "effect_plugin"):
        with PluginHost(Backgrounds) as host:
            assert host.plugin.ran.wait(LIMIT)
            plugin = host.plugin
        assert plugin.ended.is_set()
    assert [record.message for record in caplog.records] == ["a background task failed: Backgrounds.fail"]


def test_without_a_host_there_is_no_background() -> None:
    plugin = Backgrounds()
    with pytest.raises(RuntimeError, match="no event loop"):
        plugin.create_task(plugin.work())


SLOW_HOST = """
    from mattermost_plugin import UnavailableError

    class P(Plugin):
        @hook(HookName.MessageHasBeenPosted)
        def posted(self, ctx, post):
            begun = time.monotonic()
            try:
                self.api.get_server_version()
            except UnavailableError as error:
                self.logger.info("in %d s: %s", time.monotonic() - begun, error.code)

        @hook(HookName.MessageHasBeenUpdated)
        async def updated(self, ctx, new, old):
            async def later():
                await asyncio.sleep(0.1)
                try:
                    await self.async_api.with_timeout(0.2).get_server_version()
                except UnavailableError as error:
                    self.logger.info("by itself: %s", error.code)
            self.create_task(later())

    run_plugin(P)
"""


def test_calls_of_a_handler_end_with_its_time_or_with_their_own(start_plugin: StartPlugin, host_api: Any) -> None:
    asked = threading.Event()

    def never(_: Any) -> None:
        asked.wait(LIMIT)

    try:
        plugin = start_plugin(SLOW_HOST, MATTERMOST_PLUGIN_API_TARGET=host_api({"GetServerVersion": never}))
        # Whichever of the two is first.
        with contextlib.suppress(grpc.RpcError):
            plugin.call("MessageHasBeenPosted", timeout=1)
        plugin.wait_for_log("s: StatusCode.DEADLINE_EXCEEDED")
        plugin.call("MessageHasBeenUpdated", timeout=60)
        plugin.wait_for_log("by itself: StatusCode.DEADLINE_EXCEEDED")
    finally:
        asked.set()
