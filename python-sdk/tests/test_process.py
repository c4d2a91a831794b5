"""A plugin as a process: its handshake, its stdout, its end."""

from __future__ import annotations

import os
import re
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from mattermost_plugin._generated.grpc.health.v1 import health_pb2
from mattermost_plugin._generated.plugin import grpc_controller_pb2

from .conftest import HEADER, StartPlugin

IDLE = """
    class Idle(Plugin):
        pass

    run_plugin(Idle)
"""

STUCK = """
    class Stuck(Plugin):
        @hook(HookName.MessageWillBePosted)
        def stuck(self, ctx, post):
            time.sleep(60)

    run_plugin(Stuck)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def test_the_handshake_and_the_socket(start_plugin: StartPlugin, tmp_path: Path) -> None:
    plugin = start_plugin(IDLE)
    assert re.fullmatch(r"1\|1\|unix\|(/[^|]+)\|grpc\|\n", plugin.handshake)
    assert plugin.address.startswith(f"{tmp_path}/plugin")
    mode = os.stat(plugin.address).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_nothing_but_the_handshake_is_on_stdout(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        os.write(1, b"past Python\\n")
        subprocess.run(["echo", "a child's word"])
        print("between")

        class Loud(Plugin):
            @hook(HookName.OnActivate)
            def activate(self):
                print("in a hook")
                os.write(1, b"past Python again\\n")
                subprocess.run(["echo", "a child's word again"])

        run_plugin(Loud)
        """,
        header='print("before everything")\n' + HEADER,
    )
    assert plugin.handshake.startswith("1|1|unix|")
    plugin.call("OnActivate")
    plugin.process.terminate()
    assert plugin.process.stdout is not None
    assert plugin.process.stdout.read() == b""
    log = plugin.log()
    for text in ("before everything", "past Python", "a child's word again", '"@message": "in a hook"'):
        assert text in log, text


def test_without_the_cookie_it_says_what_it_is(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IDLE, cookie=False)
    assert plugin.wait() == 1
    assert plugin.handshake == ""
    assert plugin.log().startswith("This binary is a plugin. These are not meant to be executed directly.\n")


@pytest.mark.parametrize(("offered", "version"), [("1", 1), ("3,1,2", 1), ("10,9", 1), ("", 1), ("x,1", 1)])
def test_version_choice(start_plugin: StartPlugin, offered: str, version: int) -> None:
    plugin = start_plugin(IDLE, PLUGIN_PROTOCOL_VERSIONS=offered)
    assert plugin.handshake.split("|")[1] == str(version)


def test_multiplexing_is_declined(start_plugin: StartPlugin) -> None:
    assert start_plugin(IDLE, PLUGIN_MULTIPLEX_GRPC="true").handshake.endswith("|grpc||false\n")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PLUGIN_CLIENT_CERT": "-----BEGIN"}, "asks for TLS"),
        ({"PLUGIN_UNIX_SOCKET_DIR": "/tmp/" + "x" * 120}, "longer than 107 bytes"),
        ({"PLUGIN_UNIX_SOCKET_DIR": "/no/such/folder"}, "Error"),
    ],
)
def test_what_keeps_it_from_serving(start_plugin: StartPlugin, variables: dict[str, str], message: str) -> None:
    plugin = start_plugin(IDLE, **variables)
    assert plugin.wait() == 1
    assert plugin.handshake == ""
    assert message in plugin.log()


def test_an_error_while_importing_is_told(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("raise ValueError('broken')")
    assert plugin.wait() == 1
    assert "ValueError: broken" in plugin.log()


def test_health(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IDLE)

    def check(service: str) -> Any:
        request = health_pb2.HealthCheckRequest(service=service)
        return plugin.rpc("/grpc.health.v1.Health/Check", request, health_pb2.HealthCheckResponse)

    assert check("plugin").status == health_pb2.HealthCheckResponse.SERVING
    assert check("").status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(Exception, match="NOT_FOUND"):
        check("other")


def shut_down(plugin: Any) -> None:
    plugin.rpc("/plugin.GRPCController/Shutdown", grpc_controller_pb2.Empty(), grpc_controller_pb2.Empty)


@pytest.mark.parametrize("how", ["Shutdown", "SIGTERM"])
@pytest.mark.parametrize("source", [IDLE, STUCK], ids=["idle", "stuck"])
def test_it_ends_in_time(start_plugin: StartPlugin, how: str, source: str) -> None:
    plugin = start_plugin(source)
    if source is STUCK:
        method: Any = plugin.channel.unary_unary("/mattermost.pluginapi.v1.PluginHooks/MessageWillBePosted")
        method.future(b"")
        time.sleep(0.3)
    began = time.monotonic()
    if how == "Shutdown":
        shut_down(plugin)
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


def test_without_a_life_line_stdin_is_the_plugins(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IDLE)
    assert plugin.process.stdin is not None
    plugin.process.stdin.close()
    time.sleep(0.3)
    assert plugin.call("Implemented").hooks == []


@pytest.mark.parametrize(("level", "expected"), [("DEBUG", True), ("INFO", False), ("", False)])
def test_the_log_level(start_plugin: StartPlugin, level: str, expected: bool) -> None:
    plugin = start_plugin(
        """
        import logging
        logging.basicConfig(level="CRITICAL", stream=sys.stdout)

        class Logging(Plugin):
            @hook(HookName.OnActivate)
            def activate(self):
                self.logger.debug("a detail")
                self.logger.info("the end")

        run_plugin(Logging)
        """,
        MATTERMOST_PLUGIN_LOG_LEVEL=level,
    )
    plugin.call("OnActivate")
    assert ("a detail" in plugin.wait_for_log("the end")) is expected
