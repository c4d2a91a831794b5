"""A plugin as a process: its handshake, its stdout, its end."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from mattermost_plugin import handshake
from mattermost_plugin._generated.grpc.health.v1 import health_pb2
from mattermost_plugin._generated.plugin import grpc_controller_pb2
from mattermost_plugin.process import MAGIC_COOKIE_KEY, MAGIC_COOKIE_VALUE

from .conftest import HEADER, IDLE, LIMIT, STUCK, StartPlugin

IDLE = """
    class Idle(Plugin):
        pass

    run_plugin(Idle)
"""

STUCK = """
    class Stuck(Plugin):
        @hook(HookName.MessageWillBePosted)
        def stuck(self, ctx, post):
            self.logger.info("begun")
            time.sleep(60)

        @hook(HookName.MessageWillBeUpdated)
        async def stuck_async(self, ctx, new, old):
            self.logger.info("begun")
            await asyncio.sleep(60)

        @hook(HookName.MessageHasBeenPosted)
        async def blocks_the_loop(self, ctx, post):
            self.logger.info("begun")
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


LOUD = """
    import ctypes
    ctypes.CDLL(None).puts(b"C, unflushed")
    os.write(1, b"past Python\\n")
    subprocess.run(["echo", "a child's word"])
    print("between")
    sys.stdout.flush()

    class Loud(Plugin):
        def __init__(self, **given):
            super().__init__(**given)
            print("while it is made")

        @hook(HookName.OnActivate)
        def activate(self):
            print("in a hook")
            os.write(1, b"past Python again\\n")
            ctypes.CDLL(None).puts(b"C again")
            ctypes.CDLL(None).fflush(None)
            subprocess.run(["echo", "a child's word again"])

    run_plugin(Loud)
"""


def test_nothing_but_the_handshake_is_on_stdout(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(LOUD, header='print("before everything")\n' + HEADER)
    assert re.fullmatch(r"1\|1\|unix\|/[^|]+\|grpc\|\n", plugin.handshake)
    plugin.call("OnActivate")
    plugin.process.terminate()
    assert plugin.process.stdout is not None
    assert plugin.process.stdout.read() == b""
    log = plugin.log()
    for text in (
        "before everything",
        "past Python",
        "C, unflushed",
        "C again",
        "a child's word again",
        '"@message": "while it is made"',
        '"@message": "in a hook"',
    ):
        assert text in log, text


def test_a_host_that_closes_stdout_after_the_handshake(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(LOUD)
    assert plugin.process.stdout is not None
    plugin.process.stdout.close()
    assert plugin.call("OnActivate").error.id == ""
    plugin.wait_for_log("a child's word again")


def test_children_are_started_without_grpc(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class Parent(Plugin):
        @hook(HookName.UserWillLogIn)
        def start_a_child(self, ctx, user):
            # With this argument Python forks; without it newer versions do not.
            subprocess.run(["true"], check=True, preexec_fn=lambda: None)

    run_plugin(Parent)
    """)
    with futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: plugin.call("UserWillLogIn"), range(32)))
    assert plugin.log() == "", "gRPC, which may hang in a forked child, has no words about it"


@pytest.mark.parametrize("cookie", ["", "Securely message teams, anywhere", "x"])
def test_without_the_cookie_it_says_what_it_is(start_plugin: StartPlugin, cookie: str) -> None:
    plugin = start_plugin(IDLE, cookie=cookie)
    assert plugin.wait() == 1
    assert plugin.handshake == ""
    assert plugin.log() == (
        "This binary is a plugin. These are not meant to be executed directly.\n"
        "Please execute the program that consumes these plugins, which will\n"
        "load any plugins automatically\n"
    )


@pytest.mark.parametrize(
    ("spoken", "offered", "version"),
    [
        ([1], "1", 1),
        ([1], "3,1,2", 1),
        ([1], "10,9", 1),
        ([1], "", 1),
        ([1], "x,1", 1),
        ([2, 9, 10], "9,10,2", 10),
        ([2, 9, 10], "9,2", 9),
        ([2, 9, 10], "1,3", 2),
    ],
)
def test_version_choice(monkeypatch: pytest.MonkeyPatch, spoken: list[int], offered: str, version: int) -> None:
    monkeypatch.setattr(handshake, "PROTOCOL_VERSIONS", spoken)
    assert handshake.choose_protocol_version(offered) == version


def test_a_version_that_is_no_number_is_told(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IDLE, PLUGIN_PROTOCOL_VERSIONS="x,3,1")
    assert plugin.handshake.startswith("1|1|unix|")
    assert "PLUGIN_PROTOCOL_VERSIONS has 'x', which is no number" in plugin.log()


def test_the_socket_is_where_temporary_files_are(start_plugin: StartPlugin, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    plugin = start_plugin(IDLE, PLUGIN_UNIX_SOCKET_DIR="", TMPDIR=str(folder))
    assert os.path.dirname(plugin.address) == str(folder)


def test_the_socket_is_shared_with_the_group_that_is_named(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IDLE, PLUGIN_UNIX_SOCKET_GROUP=str(os.getgid()))
    found = os.stat(plugin.address)
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, os.getgid())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other limits")
@pytest.mark.parametrize(("length", "serves"), [(107, True), (108, False)])
def test_the_longest_path_of_a_socket(start_plugin: StartPlugin, length: int, serves: bool) -> None:
    name = "/plugin" + 10 * "0"
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        deep = os.path.join(folder, "d" * (length - len(name) - len(folder) - 1))
        os.mkdir(deep)
        plugin = start_plugin(IDLE, PLUGIN_UNIX_SOCKET_DIR=deep)
        if serves:
            assert len(plugin.address) == length
            assert plugin.call("Implemented").hooks == []
        else:
            assert (plugin.wait(), plugin.handshake) == (1, "")
            assert "is longer than 107 bytes; set TMPDIR to a shorter folder" in plugin.log()


def test_multiplexing_is_declined(start_plugin: StartPlugin) -> None:
    assert start_plugin(IDLE, PLUGIN_MULTIPLEX_GRPC="true").handshake.endswith("|grpc||false\n")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PLUGIN_CLIENT_CERT": "-----BEGIN"}, "asks for TLS"),
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


def test_an_error_while_the_plugin_is_made_is_told(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class Broken(Plugin):
        def __init__(self, **given):
            raise ValueError("broken")

    run_plugin(Broken)
    """)
    assert (plugin.wait(), plugin.handshake) == (1, "")
    assert "ValueError: broken" in plugin.log()


def check(plugin: Any, service: str) -> Any:
    request = health_pb2.HealthCheckRequest(service=service)
    return plugin.rpc("/grpc.health.v1.Health/Check", request, health_pb2.HealthCheckResponse).status


def test_health(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IDLE)
    assert check(plugin, "plugin") == health_pb2.HealthCheckResponse.SERVING
    assert check(plugin, "") == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        check(plugin, "other")
    error: Any = caught.value
    assert error.code() == grpc.StatusCode.NOT_FOUND


def test_a_busy_plugin_is_healthy(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(STUCK)
    calls = [plugin.busy("MessageWillBePosted") for _ in range(16)]
    began = time.monotonic()
    assert check(plugin, "plugin") == health_pb2.HealthCheckResponse.SERVING
    assert time.monotonic() - began < 1
    assert not any(call.done() for call in calls)


def test_who_watches_the_health_is_told_of_the_end(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IDLE)
    watch: Any = plugin.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    statuses = watch(health_pb2.HealthCheckRequest(service="plugin"), timeout=LIMIT)
    assert next(statuses).status == health_pb2.HealthCheckResponse.SERVING
    unknown = watch(health_pb2.HealthCheckRequest(service="other"), timeout=LIMIT)
    assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    shut_down(plugin)
    assert next(statuses).status == health_pb2.HealthCheckResponse.NOT_SERVING


def shut_down(plugin: Any) -> None:
    plugin.rpc("/plugin.GRPCController/Shutdown", grpc_controller_pb2.Empty(), grpc_controller_pb2.Empty)


@pytest.mark.parametrize("how", ["Shutdown", "SIGTERM"])
@pytest.mark.parametrize("hook", [None, "MessageWillBePosted", "MessageWillBeUpdated"])
def test_it_ends_in_time(start_plugin: StartPlugin, how: str, hook: str | None) -> None:
    plugin = start_plugin(STUCK)
    if hook is not None:
        plugin.busy(hook)
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
    environment = {**os.environ, MAGIC_COOKIE_KEY: MAGIC_COOKIE_VALUE, "PLUGIN_UNIX_SOCKET_DIR": str(tmp_path)}
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


@pytest.mark.parametrize(
    ("level", "expected"), [("DEBUG", True), ("debug", True), ("INFO", False), ("", False), ("loud", False)]
)
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
