"""The generic layer: go-plugin's protocol for plugins of any `.proto`, against real processes and real gRPC."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Callable

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import empty_pb2

from mattermost_plugin._generated.grpc.health.v1 import health_pb2
from mattermost_plugin._generated.plugin import grpc_broker_pb2, grpc_stdio_pb2
from mattermost_plugin.goplugin import BrokerError, GRPCBroker, broker, listener, tls
from mattermost_plugin.goplugin.stdio import Stdio

from .conftest import IDLE, LIMIT, RunningPlugin, StartPlugin, code_of


@pytest.mark.parametrize("source", [PLUGIN, IDLE], ids=["generic", "hooks"])
def test_every_plugin_has_the_services(start_plugin: StartPlugin, source: str) -> None:
    plugin = start_plugin(source)
    assert check(plugin.channel) == health_pb2.HealthCheckResponse.SERVING
    plugin.shut_down()
    assert plugin.wait(2) == 0
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


# -- listening on TCP ----


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
def without_unix_sockets(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """As on Windows, with a range of ports."""

    def ports(low: str, high: str) -> None:
        monkeypatch.setattr(listener, "has_unix_sockets", lambda: False)
        monkeypatch.setenv("PLUGIN_MIN_PORT", low)
        monkeypatch.setenv("PLUGIN_MAX_PORT", high)

    return ports


def listen() -> tuple[str, str]:
    """Listens for a moment; answers where."""

    async def main() -> tuple[str, str]:
        async with listener.listening(listener.make_server(), None) as found:
            return found

    return asyncio.run(main())


def test_tcp_takes_a_port_of_the_range(without_unix_sockets: Callable[[str, str], None]) -> None:
    with taken_port() as taken:
        without_unix_sockets(str(taken), str(taken + 20))
        network, address = listen()
    host, port = address.split(":")
    assert (network, host) == ("tcp", "127.0.0.1")
    assert taken < int(port) <= taken + 20


@pytest.mark.parametrize("unset", ["0", ""])
def test_tcp_without_a_range_takes_any(without_unix_sockets: Callable[[str, str], None], unset: str) -> None:
    without_unix_sockets(unset, unset)
    assert int(listen()[1].split(":")[1]) > 0


def test_tcp_ports_that_are_none(without_unix_sockets: Callable[[str, str], None]) -> None:
    for low, high, message in [("2000", "1000", "more than PLUGIN_MAX_PORT"), ("x", "9", "which is no port")]:
        without_unix_sockets(low, high)
        with pytest.raises(SystemExit, match=message):
            listen()
    with taken_port() as taken:
        without_unix_sockets(str(taken), str(taken))
        with pytest.raises(SystemExit, match=f"no port from {taken} to {taken} is free"):
            listen()


# -- test mode ----

TEST_MODE = """
    from mattermost_plugin import goplugin

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
        assert check(channel) == health_pb2.HealthCheckResponse.SERVING
    plugin.process.send_signal(stop)
    assert plugin.wait(2) == 0


def test_the_layer_knows_nothing_of_hooks() -> None:
    folder = Path(sys.modules[listener.__name__].__file__ or "").parent
    for file in folder.glob("*.py"):
        assert "hook" not in file.read_text().replace("it knows nothing of hooks", "").lower(), file.name
