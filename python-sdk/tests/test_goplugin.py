"""The generic layer: go-plugin's protocol for plugins of any `.proto`, against real processes and real gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from effect_plugin import goplugin
from effect_plugin.goplugin import listener, tls

from .conftest import IDLE, LIMIT, StartPlugin
from .goplugin import PLUGIN, check, listen_on_tcp
from .wire import HealthCheckResponse

# -- handshake --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [PLUGIN, IDLE], ids=["generic", "hooks"])
def test_every_plugin_has_the_services(start_plugin: StartPlugin, source: str) -> None:
    plugin = start_plugin(source)
    assert check(plugin.channel) == HealthCheckResponse.SERVING
    plugin.shut_down()
    assert plugin.wait() == 0
    assert not os.path.exists(plugin.address)


def test_without_its_cookie_it_says_what_it_is(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN, cookie="something else")
    assert (plugin.wait(), plugin.handshake) == (1, "")
    assert "This binary is a plugin" in plugin.log()


@pytest.mark.parametrize("given", ['"", "value"', '"KEY", ""'])
def test_a_plugin_needs_a_cookie_of_its_own(start_plugin: StartPlugin, given: str) -> None:
    mine = '"MATTERMOST_PLUGIN", "Securely message teams, anywhere."'
    plugin = start_plugin(PLUGIN.replace(mine, given), KEY="")
    assert (plugin.wait(), plugin.handshake) == (1, "")
    assert "it has no magic cookie key and value" in plugin.log()


@pytest.mark.parametrize(
    ("offered", "chosen"), [("9,10,2", 10), ("9,2", 9), ("1,3", 2), ("", 2)], ids=["highest", "common", "none", "unset"]
)
def test_the_version_that_is_served_is_the_one_that_is_told(
    start_plugin: StartPlugin, offered: str, chosen: int
) -> None:
    versions = "{version: functools.partial(register, version) for version in (9, 2, 10)}"
    source = PLUGIN.replace("{1: lambda server, broker: None}", versions)
    header = """\
import functools, sys
def register(version, server, broker):
    sys.__stderr__.write(f"registers {version}\\n")
import asyncio
"""
    plugin = start_plugin(source, header=header, PLUGIN_PROTOCOL_VERSIONS=offered)
    assert plugin.handshake.startswith(f"1|{chosen}|unix|")
    assert plugin.log() == f"registers {chosen}\n"


# -- the socket's group ---------------------------------------------------------------------------------------------


def another_group() -> grp.struct_group:
    """A group that this process' sockets are not of by themselves."""
    return next(group for group in grp.getgrall() if group.gr_gid != os.getgid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a socket to a group it is not in")
@pytest.mark.parametrize("by", ["gr_name", "gr_gid"])
@pytest.mark.parametrize("curve", [None, ec.SECP256R1(), ec.SECP521R1()], ids=["clear", "tls", "relayed"])
def test_the_socket_is_the_groups(start_plugin: StartPlugin, by: str, curve: ec.EllipticCurve | None) -> None:
    group = another_group()
    secured = {} if curve is None else {"PLUGIN_CLIENT_CERT": tls.mint(curve)[1].decode()}
    plugin = start_plugin(PLUGIN, PLUGIN_UNIX_SOCKET_GROUP=str(getattr(group, by)), **secured)
    found = os.stat(plugin.address)
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, group.gr_gid)


def test_a_group_that_is_none(start_plugin: StartPlugin, tmp_path: Path) -> None:
    plugin = start_plugin(PLUGIN, PLUGIN_UNIX_SOCKET_GROUP="no such group")
    assert (plugin.wait(), plugin.handshake) == (1, "")
    assert "no such group" in plugin.log()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plugin.py", "stderr0"]


# -- listening on TCP -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def listen() -> tuple[str, str]:
    """Listens for a moment; answers where."""

    async def main() -> tuple[str, str]:
        async with listener.listening(listener.make_server(), None) as found:
            return found

    return asyncio.run(main())


def test_tcp_takes_a_port_of_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    with taken_port() as taken:
        listen_on_tcp(monkeypatch, str(taken), str(taken + 20))
        network, address = listen()
    host, port = address.split(":")
    assert (network, host) == ("tcp", "127.0.0.1")
    assert taken < int(port) <= taken + 20


@pytest.mark.parametrize("unset", ["0", ""])
def test_tcp_without_a_range_takes_any(monkeypatch: pytest.MonkeyPatch, unset: str) -> None:
    listen_on_tcp(monkeypatch, unset, unset)
    assert int(listen()[1].split(":")[1]) > 0


def test_tcp_ports_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for low, high, message in [("2000", "1000", "more than PLUGIN_MAX_PORT"), ("x", "9", "which is no port")]:
        listen_on_tcp(monkeypatch, low, high)
        with pytest.raises(SystemExit, match=message):
            listen()
    with taken_port() as taken:
        listen_on_tcp(monkeypatch, str(taken), str(taken))
        with pytest.raises(SystemExit, match=f"no port from {taken} to {taken} is free"):
            listen()


def test_a_plugin_serves_on_tcp(start_plugin: StartPlugin) -> None:
    header = """\
import asyncio
from effect_plugin.goplugin import listener
listener.has_unix_sockets = lambda: False
"""
    plugin = start_plugin(PLUGIN, header=header, PLUGIN_MIN_PORT="0", PLUGIN_MAX_PORT="0")
    assert re.fullmatch(r"1\|1\|tcp\|127\.0\.0\.1:\d+\|grpc\|\n", plugin.handshake)
    with grpc.insecure_channel(plugin.address) as channel:
        assert check(channel) == HealthCheckResponse.SERVING


# -- test mode --------------------------------------------------------------------------------------------------------

TEST_MODE = """
    from effect_plugin import goplugin

    HANDSHAKE = goplugin.HandshakeConfig("NO_SUCH_COOKIE", "value")

    async def main():
        await goplugin.serve(
            HANDSHAKE,
            {3: lambda server, broker: None},
            on_reattach=lambda config: print(json.dumps(config), flush=True),
        )

    goplugin.run(main())
"""


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_test_mode_needs_no_host(start_plugin: StartPlugin, stop: signal.Signals) -> None:
    header = "import os; os.environ.pop('PLUGIN_PROTOCOL_VERSIONS'); import asyncio, json\n"
    plugin = start_plugin(TEST_MODE, header=header)
    config = json.loads(plugin.handshake)
    assert config == {
        "Protocol": "grpc",
        "ProtocolVersion": 3,
        "Pid": plugin.process.pid,
        "Test": True,
        "Addr": {"Network": "unix", "String": config["Addr"]["String"]},
    }
    with grpc.insecure_channel(f"unix:{config['Addr']['String']}") as channel:
        assert check(channel) == HealthCheckResponse.SERVING
    plugin.process.send_signal(stop)
    assert plugin.wait() == 0


def test_test_mode_ends_with_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUGIN_UNIX_SOCKET_DIR", str(tmp_path))
    before = sys.stdout

    async def main() -> None:
        served: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(
            goplugin.serve(
                goplugin.HandshakeConfig("", ""), {1: lambda server, broker: None}, on_reattach=served.set_result
            )
        )
        address = (await asyncio.wait_for(served, LIMIT))["Addr"]["String"]
        assert [str(path) for path in tmp_path.iterdir()] == [address]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, LIMIT)

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []
    assert sys.stdout is before


def test_the_layer_knows_nothing_of_hooks() -> None:
    folder = Path(sys.modules[listener.__name__].__file__ or "").parent
    for file in folder.glob("*.py"):
        assert "hook" not in file.read_text().replace("it knows nothing of hooks", "").lower(), file.name
