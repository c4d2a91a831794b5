"""Plugins as real processes, driven by a gRPC client as a host would."""

from __future__ import annotations

import os

# These tests start processes while gRPC runs here. What gRPC does in a fork for it can end it before its program runs.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import select
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, Callable

import grpc
import pytest

from effect_plugin._descriptors import message_class
from mattermost_plugin.config import HANDSHAKE
from mattermost_plugin.models import fill

from .ttrpc_host import Caller, Serving
from .wire import API, HOOKS

#: Seconds any single step of a test may take, on a machine that is busy with others'.
LIMIT = 60.0

HEADER = """\
import asyncio, json, os, subprocess, sys, threading, time
from mattermost_plugin import *
from mattermost_plugin.types import Post
"""


#: Has handlers end long before their calls do, so that who ends first is no matter of speed.
IN_GOOD_TIME = """
    from effect_plugin import _hook_call as hook_call
    hook_call._DEADLINE_SHARE = 0.01
"""

#: A plugin without a hook.
IDLE = """
    class Idle(Plugin):
        pass

    run_plugin(Idle)
"""

#: Handlers that take longer than any test: on a thread, on the loop, and in the loop's way. Each logs "begun".
STUCK = """
    class Stuck(Plugin):
        @hook(HookName.MessageWillBePosted)
        def stuck(self, ctx, post):
            self.logger.info("begun")
            time.sleep(600)

        @hook(HookName.MessageWillBeUpdated)
        async def stuck_async(self, ctx, new, old):
            self.logger.info("begun")
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                self.logger.info("cancelled")
                raise

        @hook(HookName.MessageHasBeenPosted)
        async def blocks_the_loop(self, ctx, post):
            self.logger.info("begun")
            time.sleep(600)

    run_plugin(Stuck)
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs the tests of a module with BOTH_PROTOCOLS over both; but for those that speak gRPC themselves."""
    speaks_both = getattr(metafunc.module, "BOTH_PROTOCOLS", False)
    if speaks_both and "start_plugin" in metafunc.fixturenames and not metafunc.definition.get_closest_marker("grpc"):
        metafunc.parametrize("start_plugin", ["grpc", "ttrpc"], indirect=True)


class RunningPlugin:
    """A plugin's process, its handshake, and a channel to it."""

    #: How it ends that a host calls: the connections of one that offers ttrpc.
    caller: Caller | None = None
    serving: Serving | None = None

    def __init__(self, process: subprocess.Popen[bytes], stderr: Path) -> None:
        self.process = process
        self._stderr = stderr
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], LIMIT)
        assert readable, f"neither a handshake nor an end:\n{self.log()}"
        self.handshake = process.stdout.readline().decode()
        self.address = self.handshake.split("|")[3] if self.handshake.count("|") > 3 else ""
        self.channel = grpc.insecure_channel(f"unix:{self.address}")

    def call(self, hook: str, timeout: float = LIMIT, **fields: Any) -> Any:
        """Calls a unary hook."""
        return self.begin(hook, timeout, **fields).result()

    def begin(self, hook: str, timeout: float = LIMIT, **fields: Any) -> Any:
        """Calls a unary hook; answers the call."""
        method = HOOKS.methods_by_name[hook]
        request = message_class(method.input_type)()
        for name, value in fields.items():
            fill(request, method.input_type.fields_by_name[name], value)
        response = message_class(method.output_type)
        return self.begin_rpc(f"/{HOOKS.full_name}/{hook}", request, response, timeout)

    def begin_rpc(self, path: str, request: Any, response: Any, timeout: float = LIMIT) -> Any:
        """Calls any unary method; answers the call."""
        if self.caller is not None:
            _, service, method = path.split("/")
            return self.caller.begin(service, method, request.SerializeToString(), response.FromString, timeout)
        call = self.channel.unary_unary(
            path, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
        )
        return call.future(request, timeout=timeout)

    def serve_http(self, messages: Any, timeout: float = LIMIT) -> Any:
        """Opens a ServeHTTP stream."""
        method = HOOKS.methods_by_name["ServeHTTP"]
        call = self.channel.stream_stream(
            f"/{HOOKS.full_name}/ServeHTTP",
            request_serializer=message_class(method.input_type).SerializeToString,
            response_deserializer=message_class(method.output_type).FromString,
        )
        return call(messages, timeout=timeout)

    def rpc(self, path: str, request: Any, response: Any) -> Any:
        """Calls any other unary method."""
        return self.begin_rpc(path, request, response).result()

    def busy(self, hook: str, timeout: float = 10 * LIMIT, **fields: Any) -> Any:
        """Calls a hook that won't answer soon; answers the call, which has arrived."""
        begun = self.log().count("begun")
        running = self.begin(hook, timeout, **fields)
        end = time.monotonic() + LIMIT
        while self.log().count("begun") == begun:
            assert self.process.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.01)
        return running

    def shut_down(self) -> None:
        """Asks it to end, as a host does."""
        self.rpc("/plugin.GRPCController/Shutdown", message_class("plugin.Empty")(), message_class("plugin.Empty"))

    def log(self) -> str:
        """What the plugin wrote to stderr so far."""
        return self._stderr.read_text()

    def wait_for_log(self, text: str) -> str:
        """The log, once it has `text`."""
        end = time.monotonic() + LIMIT
        while text not in self.log():
            assert time.monotonic() < end, f"{text!r} is not in the log:\n{self.log()}"
            time.sleep(0.01)
        return self.log()

    def wait(self, seconds: float = LIMIT) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(seconds)


def code_of(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """The status and the details of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details()


StartPlugin = Callable[..., RunningPlugin]


@pytest.fixture
def start_plugin(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartPlugin]:
    """Starts a plugin from its source, with variables in its environment; it is gone at the end of the test."""
    started: list[RunningPlugin] = []
    offers_ttrpc = getattr(request, "param", "grpc") == "ttrpc"

    def start(
        source: str,
        *,
        header: str = HEADER,
        cookie: str = HANDSHAKE.magic_cookie_value,
        pass_fds: Sequence[int] = (),
        **variables: str,
    ) -> RunningPlugin:
        program = tmp_path / "plugin.py"
        program.write_text(header + textwrap.dedent(source))
        stderr = tmp_path / f"stderr{len(started)}"
        environment = {
            "PATH": os.environ["PATH"],
            "PLUGIN_PROTOCOL_VERSIONS": "1",
            "PLUGIN_UNIX_SOCKET_DIR": str(tmp_path),
            **({HANDSHAKE.magic_cookie_key: cookie} if cookie else {}),
            **variables,
        }
        pairs = [socket.socketpair() for _ in range(2)] if offers_ttrpc else []
        theirs = [their.fileno() for _, their in pairs]
        if pairs:
            environment.setdefault("PLUGIN_SUPERVISOR_TTRPC", ",".join(map(str, theirs)))
        with stderr.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, str(program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=tmp_path,
                start_new_session=True,
                pass_fds=[*pass_fds, *theirs],
            )
        for _, their in pairs:
            their.close()
        serving = None
        if pairs:
            targets = ("MATTERMOST_PLUGIN_API_TARGET", "MATTERMOST_API_TARGET", "PLUGIN_SUPERVISOR_API_TARGET")
            target = next((variables[name] for name in targets if name in variables), "")
            # A plugin may call its host before it has said how it is called.
            serving = Serving(pairs[1][0], target)
        plugin = RunningPlugin(process, stderr)
        plugin.serving = serving
        if pairs and plugin.handshake.endswith("|ttrpc\n"):
            plugin.caller = Caller(pairs[0][0])
        elif serving is not None:
            serving.close()
            pairs[0][0].close()
        started.append(plugin)
        return plugin

    yield start
    for plugin in started:
        plugin.channel.close()
        if plugin.serving is not None:
            plugin.serving.close()
        if plugin.caller is not None:
            plugin.caller.connection.close()
        plugin.process.kill()
        plugin.process.wait()
        for pipe in (plugin.process.stdin, plugin.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def host_api(tmp_path: Path) -> Iterator[Callable[[dict[str, Callable[[Any], Any]]], str]]:
    """Serves a host API with handlers by rpc name; answers its target."""
    servers: list[grpc.Server] = []

    def serve(handlers: dict[str, Callable[[Any], Any]]) -> str:
        def handler(name: str) -> Any:
            method = API.methods_by_name[name]
            return grpc.unary_unary_rpc_method_handler(
                lambda request, _: handlers[name](request),
                message_class(method.input_type).FromString,
                message_class(method.output_type).SerializeToString,
            )

        server = grpc.server(futures.ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(API.full_name, {name: handler(name) for name in handlers})]
        )
        target = f"unix:{tmp_path}/api.sock"
        server.add_insecure_port(target)
        server.start()
        servers.append(server)
        return target

    yield serve
    for server in servers:
        server.stop(None)
