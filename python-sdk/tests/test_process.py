"""A plugin as a process: its handshake, its stdout, its health, its log."""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from effect_plugin import _handshake as handshake

from .conftest import HEADER, IDLE, LIMIT, STUCK, StartPlugin
from .wire import HealthCheckRequest, HealthCheckResponse


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
            subprocess.run(["echo", "what a child was given"], stdout=sys.stdout)
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
        "between",
        "C again",
        "what a child was given",
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
def test_version_choice(spoken: list[int], offered: str, version: int) -> None:
    assert handshake.choose_protocol_version(offered, spoken) == version


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
        ({"PLUGIN_CLIENT_CERT": "-----BEGIN"}, "PLUGIN_CLIENT_CERT is no certificate in PEM"),
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
    request = HealthCheckRequest(service=service)
    return plugin.rpc("/grpc.health.v1.Health/Check", request, HealthCheckResponse).status


def test_health(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IDLE)
    assert check(plugin, "plugin") == HealthCheckResponse.SERVING
    assert check(plugin, "") == HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        check(plugin, "other")
    error: Any = caught.value
    assert error.code() == grpc.StatusCode.NOT_FOUND


def test_a_busy_plugin_is_healthy(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(STUCK)
    calls = [plugin.busy("MessageWillBePosted") for _ in range(16)]
    assert check(plugin, "plugin") == HealthCheckResponse.SERVING
    assert not any(call.done() for call in calls)


def test_who_watches_the_health_is_told_of_the_end(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IDLE)
    watch: Any = plugin.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    statuses = watch(HealthCheckRequest(service="plugin"), timeout=LIMIT)
    assert next(statuses).status == HealthCheckResponse.SERVING
    unknown = watch(HealthCheckRequest(service="other"), timeout=LIMIT)
    assert next(unknown).status == HealthCheckResponse.SERVICE_UNKNOWN
    plugin.shut_down()
    assert next(statuses).status == HealthCheckResponse.NOT_SERVING


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
