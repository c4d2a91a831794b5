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

from .conftest import IDLE, STUCK, StartPlugin


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", ["Shutdown", "SIGTERM"])
@pytest.mark.parametrize("hook", [None, "MessageWillBePosted", "MessageWillBeUpdated"])
def test_it_ends_in_time(start_plugin: StartPlugin, how: str, hook: str | None) -> None:
    plugin = start_plugin(STUCK)
    if hook is not None:
        plugin.busy(hook)
    began = time.monotonic()
    if how == "Shutdown":
        plugin.shut_down()
    else:
        plugin.process.send_signal(signal.SIGTERM)
    assert plugin.wait() == 0
    assert time.monotonic() - began < 2
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
                child = subprocess.Popen([sys.executable, "-c", "import sys, time; sys.stdin.read(); time.sleep(60)"])
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
    plugin.wait(3)
    end = time.monotonic() + 2
    while is_alive(child):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("hook", [None, "MessageWillBePosted", "MessageHasBeenPosted"])
def test_a_plugin_without_a_host_ends_however_stuck_it_is(start_plugin: StartPlugin, hook: str | None) -> None:
    reading, writing = os.pipe()
    plugin = start_plugin(STUCK, pass_fds=[reading], PLUGIN_LIFELINE_FD=str(reading))
    os.close(reading)
    if hook is not None:
        plugin.busy(hook)
    began = time.monotonic()
    os.close(writing)
    plugin.wait(3)
    assert time.monotonic() - began < 2


def test_the_life_line_is_not_handed_on(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        class Parent(Plugin):
            @hook(HookName.OnActivate)
            def activate(self):
                child = "import os, sys; print('child has', [sys.stdin.read()], os.getenv('PLUGIN_LIFELINE_FD'))"
                subprocess.run([sys.executable, "-c", child], timeout=5)

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
time.sleep(60)
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
    end = time.monotonic() + 3
    while is_alive(plugin):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_without_a_life_line_stdin_is_the_plugins(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IDLE)
    assert plugin.process.stdin is not None
    plugin.process.stdin.close()
    time.sleep(0.3)
    assert plugin.call("Implemented").hooks == []
