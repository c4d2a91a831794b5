"""How a plugin's process ends: asked by its host, told by the system, or because its host is gone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mattermost_plugin.config import HANDSHAKE

from .conftest import IDLE, LIMIT, STUCK, StartPlugin

BOTH_PROTOCOLS = True


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def wait_for_the_end_of(pid: int) -> None:
    end = time.monotonic() + LIMIT
    while is_alive(pid):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("how", ["Shutdown", "SIGTERM"])
@pytest.mark.parametrize("hook", [None, "MessageWillBePosted", "MessageWillBeUpdated"])
def test_it_ends_in_time(start_plugin: StartPlugin, how: str, hook: str | None) -> None:
    plugin = start_plugin(STUCK)
    if hook is not None:
        plugin.busy(hook)
    if how == "Shutdown":
        plugin.shut_down()
    else:
        plugin.process.send_signal(signal.SIGTERM)
    # The handler would take ten times as long as this waits.
    assert plugin.wait() == 0
    assert not os.path.exists(plugin.address)


def test_it_ignores_the_terminals_interrupt(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IDLE)
    plugin.process.send_signal(signal.SIGINT)
    assert plugin.call("Implemented").hooks == []


def test_the_end_of_the_life_line_ends_it_and_what_it_started(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        class Parent(Plugin):
            @hook(HookName.OnActivate)
            def activate(self):
                child = subprocess.Popen([sys.executable, "-c", "import sys, time; sys.stdin.read(); time.sleep(600)"])
                self.logger.info("child %s", child.pid)

        run_plugin(Parent)
        """,
        PLUGIN_LIFELINE_FD="0",
    )
    plugin.call("OnActivate")
    child = int(re.findall(r"child (\d+)", plugin.wait_for_log("child "))[0])
    assert is_alive(child)
    assert plugin.process.stdin is not None
    plugin.process.stdin.close()
    plugin.wait()
    wait_for_the_end_of(child)


@pytest.mark.parametrize("hook", [None, "MessageWillBePosted", "MessageHasBeenPosted"])
def test_a_plugin_without_a_host_ends_however_stuck_it_is(start_plugin: StartPlugin, hook: str | None) -> None:
    reading, writing = os.pipe()
    plugin = start_plugin(STUCK, pass_fds=[reading], PLUGIN_LIFELINE_FD=str(reading))
    os.close(reading)
    if hook is not None:
        plugin.busy(hook)
    os.close(writing)
    plugin.wait()


def test_the_life_line_is_not_handed_on(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        class Parent(Plugin):
            @hook(HookName.OnActivate)
            def activate(self):
                child = "import os, sys; print('child has', [sys.stdin.read()], os.getenv('PLUGIN_LIFELINE_FD'))"
                subprocess.run([sys.executable, "-c", child], timeout=60)

        run_plugin(Parent)
        """,
        PLUGIN_LIFELINE_FD="0",
    )
    assert plugin.call("OnActivate").error.id == ""
    plugin.wait_for_log("child has [''] None")


def test_a_plugin_ends_with_its_parent_where_there_is_no_life_line(start_plugin: StartPlugin, tmp_path: Path) -> None:
    # The fixture writes the plugin's file; this host starts it once more, and is killed.
    start_plugin(IDLE)
    host = """
import os, subprocess, sys, time
plugin = subprocess.Popen([sys.executable, "plugin.py"], stdout=subprocess.PIPE, start_new_session=True)
plugin.stdout.readline()
print(plugin.pid, flush=True)
time.sleep(600)
"""
    cookie = {HANDSHAKE.magic_cookie_key: HANDSHAKE.magic_cookie_value}
    environment = {**os.environ, **cookie, "PLUGIN_UNIX_SOCKET_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", host], stdout=subprocess.PIPE, cwd=tmp_path, env=environment
    ) as running:
        assert running.stdout is not None
        plugin = int(running.stdout.readline())
        assert is_alive(plugin)
        running.kill()
    wait_for_the_end_of(plugin)


def test_without_a_life_line_stdin_is_the_plugins(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        class Reading(Plugin):
            @hook(HookName.OnActivate)
            def activate(self):
                self.logger.info("it has %r", sys.stdin.read())

        run_plugin(Reading)
        """
    )
    assert plugin.process.stdin is not None
    plugin.process.stdin.write(b"words")
    plugin.process.stdin.close()
    plugin.call("OnActivate")
    plugin.wait_for_log("it has 'words'")
    assert plugin.call("Implemented").hooks == ["OnActivate"], "its end is nothing to the plugin"
