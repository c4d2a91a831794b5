"""The plugin's token for the host API: taken from the host once, shown with every call to it, and to nobody else."""

from __future__ import annotations

import os
import socket
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from effect_plugin._descriptors import message_class

from .conftest import IDLE, LIMIT, RunningPlugin, StartPlugin
from .wire import API

TOKEN = "a-token-of-this-plugin"

CALLS = """
    class Calls(Plugin):
        @hook(HookName.OnActivate)
        def activate(self):
            self.api.get_server_version()
            with PluginAPIClient() as own:
                own.get_server_version()
            with PluginAPIClient(os.environ["STRANGER"]) as other:
                other.get_server_version()
            async def more():
                async with AsyncPluginAPIClient() as own:
                    await own.get_server_version()
            asyncio.run(more())
            tokens = "[name for name in os.environ if 'TOKEN' in name]"
            child = f"import os; print('child', {tokens}, len(os.listdir('/proc/self/fd')))"
            subprocess.run([sys.executable, "-c", child], close_fds=False, stdout=sys.stderr, check=True)

        @hook(HookName.OnDeactivate)
        async def deactivate(self):
            await self.async_api.get_server_version()

    run_plugin(Calls)
"""


class Host:
    """A host API that keeps what each call shows."""

    def __init__(self, target: str) -> None:
        self.shown: list[list[str]] = []
        method = API.methods_by_name["GetServerVersion"]

        def answer(_: Any, context: grpc.ServicerContext) -> Any:
            metadata: Any = context.invocation_metadata()
            self.shown.append([value for key, value in metadata if key == "plugin-supervisor-token"])
            return message_class(method.output_type)(version="1.0.0")

        handler = grpc.unary_unary_rpc_method_handler(
            answer, message_class(method.input_type).FromString, message_class(method.output_type).SerializeToString
        )
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(API.full_name, {method.name: handler})]
        )
        self.server.add_insecure_port(target)
        self.server.start()


def hand_on(start_plugin: StartPlugin, source: str, what: bytes, **variables: str) -> tuple[RunningPlugin, bytes]:
    """Starts a plugin with this as its token; answers what it said to it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(what)
        ours.shutdown(socket.SHUT_WR)
        plugin = start_plugin(
            source, pass_fds=[theirs.fileno()], PLUGIN_SUPERVISOR_API_TOKEN_FD=str(theirs.fileno()), **variables
        )
        theirs.close()
        ours.settimeout(LIMIT)
        said = b""
        while piece := ours.recv(100):
            said += piece
        return plugin, said


def test_every_call_of_the_host_api_shows_the_token(start_plugin: StartPlugin, tmp_path: Path) -> None:
    host, stranger = Host(f"unix:{tmp_path}/api.sock"), Host(f"unix:{tmp_path}/other.sock")
    try:
        plugin, said = hand_on(
            start_plugin,
            CALLS,
            TOKEN.encode(),
            MATTERMOST_PLUGIN_API_TARGET=f"unix:{tmp_path}/api.sock",
            STRANGER=f"unix:{tmp_path}/other.sock",
        )
        assert said == b"\x06"
        assert plugin.call("OnActivate").error.id == ""
        assert plugin.call("OnDeactivate").error.id == ""
        assert host.shown == [[TOKEN]] * 4
        assert stranger.shown == [[]]
        # Its three streams, and the one that lists the folder: the descriptor was closed.
        assert "child [] 4" in plugin.log()
        assert TOKEN not in plugin.log()
    finally:
        host.server.stop(None)
        stranger.server.stop(None)


@pytest.mark.parametrize("what", [b"", b"x" * 1025, b"\xff\xfe", b"two\nlines"])
def test_what_is_no_token_is_none(start_plugin: StartPlugin, what: bytes) -> None:
    plugin, said = hand_on(start_plugin, IDLE, what)
    assert (said, plugin.call("Implemented").hooks) == (b"", [])


@pytest.mark.parametrize("named", ["999", "0", "1", "2", "x", "-1", "", "99999999999999999999"])
def test_a_descriptor_that_is_none_is_passed_over(start_plugin: StartPlugin, named: str) -> None:
    plugin = start_plugin(IDLE, PLUGIN_SUPERVISOR_API_TOKEN_FD=named)
    assert plugin.call("Implemented").hooks == []


def test_a_host_that_does_not_listen_for_an_answer_has_given_its_token(
    start_plugin: StartPlugin, tmp_path: Path
) -> None:
    host = Host(f"unix:{tmp_path}/api.sock")
    reading, writing = os.pipe()
    try:
        os.write(writing, TOKEN.encode())
        os.close(writing)
        plugin = start_plugin(
            """
            class Calls(Plugin):
                @hook(HookName.OnActivate)
                def activate(self):
                    self.api.get_server_version()

            run_plugin(Calls)
            """,
            pass_fds=[reading],
            PLUGIN_SUPERVISOR_API_TOKEN_FD=str(reading),
            MATTERMOST_PLUGIN_API_TARGET=f"unix:{tmp_path}/api.sock",
        )
        assert plugin.call("OnActivate").error.id == ""
        assert host.shown == [[TOKEN]]
    finally:
        os.close(reading)
        host.server.stop(None)
