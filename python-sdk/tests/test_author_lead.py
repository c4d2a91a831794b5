"""Plugins whose handlers are all coroutines: their calls are read on the loop where they run."""

from __future__ import annotations

import signal
import socket
import threading
import time
from typing import Any

import pytest

from mattermost_plugin.types import Post

from .conftest import LIMIT, RunningPlugin, StartPlugin
from .test_ttrpc import GARBAGE, NO_FRAMES, health, opened, raw
from .ttrpc_host import Caller, read_frame
from .wire import HealthCheckResponse

pytestmark = pytest.mark.parametrize("start_plugin", ["ttrpc"], indirect=True)

#: What the threads that read are at: none is there, it waits for the lead, or it has it.
PLUGIN = """
    go_on = threading.Event()

    def leaders():
        places = []
        for thread in threading.enumerate():
            if thread.name.startswith("hook-"):
                frame = sys._current_frames()[thread.ident]
                names = []
                while frame is not None:
                    names.append(frame.f_code.co_name)
                    frame = frame.f_back
                places.append("reads" if "_lead" in names else "rests")
        return ",".join(sorted(places))

    class Awaiting(Plugin):
        @hook(HookName.OnActivate)
        async def activate(self):
            if os.environ.get("BLOCKS"):
                self.task = asyncio.create_task(self.block())

        async def block(self):
            await asyncio.sleep(0.1)
            self.logger.info("begun")
            go_on.wait()

        @hook(HookName.OnConfigurationChange)
        def release(self):
            go_on.set()

        @hook(HookName.MessageWillBePosted)
        async def check(self, ctx, post):
            if post.message == "leaders?":
                return None, leaders() or "none"
            if post.message == "block":
                self.logger.info("begun")
                go_on.wait()
                go_on.clear()
            if post.message == "wait":
                self.logger.info("begun")
                await asyncio.sleep(600)
            post.message += "!"
            return post

    run_plugin(Awaiting)
"""


def checked(plugin: RunningPlugin, message: str) -> str:
    response: Any = plugin.call("MessageWillBePosted", post=Post(message=message))
    return str(response.rejection_reason or response.modified_post.message)


def is_read_by_the_loop(plugin: RunningPlugin) -> None:
    """Waits until it is: a thread that leads gives the lead back with the next thing that it reads."""
    end = time.monotonic() + LIMIT
    while checked(plugin, "leaders?") not in ("none", "rests"):
        assert time.monotonic() < end, "a thread still reads"


def test_no_thread_is_there_for_it(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN)
    assert [checked(plugin, "leaders?"), checked(plugin, "a"), checked(plugin, "leaders?")] == ["none", "a!", "none"]
    # One that is for a thread has it.
    plugin.call("OnConfigurationChange")
    assert checked(plugin, "leaders?") == "rests"


def test_a_handler_that_blocks_the_loop_keeps_health_answered(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN)
    for _ in range(3):
        blocked = plugin.busy("MessageWillBePosted", post=Post(message="block"))
        others = [plugin.begin("MessageWillBePosted", post=Post(message=str(number))) for number in range(5)]
        assert health(plugin) == HealthCheckResponse.SERVING
        assert not any(call.done() for call in (blocked, *others))
        plugin.call("OnConfigurationChange")
        assert [call.result(LIMIT).modified_post.message for call in (blocked, *others)] == [
            f"{name}!" for name in ("block", *range(5))
        ]
        is_read_by_the_loop(plugin)


def test_what_blocks_the_loop_while_nobody_calls_keeps_health_answered(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN, BLOCKS="1")
    plugin.call("OnActivate")
    plugin.wait_for_log("begun")
    assert health(plugin) == HealthCheckResponse.SERVING
    plugin.call("OnConfigurationChange")
    assert checked(plugin, "a") == "a!"
    is_read_by_the_loop(plugin)


def test_a_call_that_is_given_up(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN)
    waiting = plugin.busy("MessageWillBePosted", post=Post(message="wait"))
    assert plugin.caller is not None
    plugin.caller.cancel(waiting.stream)
    assert checked(plugin, "a") == "a!"
    plugin.shut_down()
    assert plugin.wait() == 0


def test_thousands_of_calls_and_large_ones(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN)
    messages = [("x" * 5_000_000 if number % 1000 == 0 else str(number)) for number in range(4000)]
    calls = [plugin.begin("MessageWillBePosted", post=Post(message=message)) for message in messages]
    for message, call in zip(messages, calls):
        assert call.result(LIMIT).modified_post.message == f"{message}!"
    is_read_by_the_loop(plugin)


def test_calls_that_come_in_pieces(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN)
    connection = raw(plugin)
    for size in (1, 7, 4096):
        assert plugin.caller is not None
        plugin.caller._stream += 2
        whole = opened(plugin.caller._stream, "y" * 10_000 if size > 7 else "y")
        for begin in range(0, len(whole), size):
            connection.sendall(whole[begin : begin + size])
        assert checked(plugin, "a") == "a!"


def test_a_host_that_takes_nothing(start_plugin: StartPlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Caller, "_read", lambda caller: None)
    plugin = start_plugin(PLUGIN)
    connection = raw(plugin)
    connection.settimeout(LIMIT)

    def send() -> None:
        for stream in range(1, 41, 2):
            connection.sendall(opened(stream, "z" * 1_000_000))

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    sending.join(1)
    assert sending.is_alive(), "the plugin reads no more than it can answer"
    answered = [read_frame(connection) for _ in range(20)]
    assert [stream for stream, *_ in answered] == list(range(1, 41, 2))
    assert all(len(data) > 1_000_000 for *_, data in answered)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_no_host_should_send_fails_that_stream_alone(start_plugin: StartPlugin, garbage: bytes) -> None:
    plugin = start_plugin(PLUGIN, PLUGIN_SUPERVISOR_MESSAGE_LIMIT="100000")
    assert checked(plugin, "a") == "a!"
    raw(plugin).sendall(garbage[:7])
    raw(plugin).sendall(garbage[7:])
    assert plugin.caller is not None
    plugin.caller._stream = 1_000_101
    assert checked(plugin, "b") == "b!"
    assert plugin.process.poll() is None


@pytest.mark.parametrize("garbage", NO_FRAMES)
def test_what_is_no_frame_ends_the_plugin(start_plugin: StartPlugin, garbage: bytes) -> None:
    plugin = start_plugin(PLUGIN)
    raw(plugin).sendall(garbage)
    if garbage == NO_FRAMES[-1]:
        raw(plugin).shutdown(socket.SHUT_RDWR)
    assert plugin.wait() in (0, 1, -signal.SIGKILL)


def test_a_host_that_has_gone(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN)
    plugin.busy("MessageWillBePosted", post=Post(message="wait"))
    raw(plugin).shutdown(socket.SHUT_RDWR)
    assert plugin.wait() == -signal.SIGKILL, plugin.log()
