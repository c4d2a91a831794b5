"""Plugins under a host that offers ttrpc."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any, Callable

import grpc
import pytest

from effect_plugin._descriptors import message_class
from mattermost_plugin.types import Post

from .conftest import HEADER, IDLE, LIMIT, STUCK, RunningPlugin, StartPlugin, code_of
from .ttrpc_host import DATA, REQUEST, RESPONSE, Request, frame
from .wire import API, HOOKS, HealthCheckRequest, HealthCheckResponse

pytestmark = pytest.mark.parametrize("start_plugin", ["ttrpc"], indirect=True)

PLUGIN = """
    class Speaking(Plugin):
        @hook(HookName.MessageWillBePosted)
        def sync(self, ctx, post):
            if post.message == "grpc?":
                return None, str("grpc" in sys.modules)
            if post.message == "host?":
                return None, self.api.get_server_version()
            post.message += "!"
            return post

        @hook(HookName.MessageWillBeUpdated)
        async def asynchronous(self, ctx, new, old):
            if new.message == "host?":
                return None, await self.async_api.get_server_version()
            await asyncio.sleep(0)
            new.message += "?"
            return new

        @hook(HookName.MessageHasBeenPosted)
        async def notified(self, ctx, post):
            self.logger.info("notified of %s", post.message)

    run_plugin(Speaking)
"""


def health(plugin: RunningPlugin) -> int:
    request = HealthCheckRequest(service="plugin")
    status: int = plugin.rpc("/grpc.health.v1.Health/Check", request, HealthCheckResponse).status
    return status


def updated(plugin: RunningPlugin, message: str) -> Any:
    return plugin.call("MessageWillBeUpdated", new_post=Post(message=message), old_post=Post())


def versions(host_api: Callable[..., str], answer: Callable[[Any], str]) -> str:
    version = message_class(API.methods_by_name["GetServerVersion"].output_type)
    return host_api({"GetServerVersion": lambda request: version(version=answer(request))})


def raw(plugin: RunningPlugin) -> Any:
    assert plugin.caller is not None
    return plugin.caller.connection


def test_a_plugin_without_grpc(start_plugin: StartPlugin, host_api: Any) -> None:
    plugin = start_plugin(PLUGIN, MATTERMOST_PLUGIN_API_TARGET=versions(host_api, lambda _: "1.2.3"))
    assert re.fullmatch(r"1\|1\|fd\|[0-9]+\|ttrpc\n", plugin.handshake)
    assert plugin.call("MessageWillBePosted", post=Post(message="a")).modified_post.message == "a!"
    assert updated(plugin, "a").modified_post.message == "a?"
    plugin.call("MessageHasBeenPosted", post=Post(message="b"))
    plugin.wait_for_log("notified of b")
    assert plugin.call("MessageWillBePosted", post=Post(message="host?")).rejection_reason == "1.2.3"
    assert updated(plugin, "host?").rejection_reason == "1.2.3"
    assert plugin.call("MessageWillBePosted", post=Post(message="grpc?")).rejection_reason == "False"
    assert plugin.serving is not None and len(plugin.serving.asked) == 2
    assert plugin.call("Implemented").hooks == ["MessageHasBeenPosted", "MessageWillBePosted", "MessageWillBeUpdated"]
    assert health(plugin) == HealthCheckResponse.SERVING
    plugin.shut_down()
    assert plugin.wait() == 0, plugin.log()


@pytest.mark.parametrize("offer", ["", "7", "0,1", "5000,5001", "a,b", "9,9"])
def test_an_offer_that_is_none(start_plugin: StartPlugin, tmp_path: Path, offer: str) -> None:
    plugin = start_plugin(IDLE, PLUGIN_SUPERVISOR_TTRPC=offer)
    assert plugin.handshake.endswith("|grpc|\n")


def test_a_default_timeout_of_sockets_is_not_the_connections(start_plugin: StartPlugin, host_api: Any) -> None:
    plugin = start_plugin(
        """
        class Patient(Plugin):
            @hook(HookName.MessageWillBePosted)
            def sync(self, ctx, post):
                from effect_plugin._ttrpc import offered
                hooks, api, _ = offered.offered()
                return None, f"{hooks.gettimeout()} {api.gettimeout()} {self.api.get_server_version()}"

        run_plugin(Patient)
        """,
        # Before the SDK is imported, which takes the sockets.
        header="import socket\nsocket.setdefaulttimeout(0.1)\n" + HEADER,
        MATTERMOST_PLUGIN_API_TARGET=versions(host_api, lambda _: "1"),
    )
    assert plugin.call("MessageWillBePosted", post=Post()).rejection_reason == "None None 1"


def test_what_is_started_inherits_neither_the_sockets_nor_the_offer(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class Parent(Plugin):
        @hook(HookName.MessageWillBePosted)
        def look(self, ctx, post):
            program = "import os; print('PLUGIN_SUPERVISOR_TTRPC' in os.environ, len(os.listdir('/proc/self/fd')))"
            ran = subprocess.run([sys.executable, "-c", program], close_fds=False, capture_output=True, text=True)
            return None, ran.stdout.strip()

        @hook(HookName.MessageWillBeUpdated)
        def fork(self, ctx, new, old):
            from effect_plugin._ttrpc import offered
            links = lambda: {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
            offer = offered.offered()
            ours = {os.path.realpath(f"/proc/self/fd/{each.fileno()}") for each in (offer.hooks, offer.api)}
            assert len(ours & links()) == 2
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                try:
                    said = f"{len(ours & links())} are left"
                    self.api.get_server_version()
                except Exception as error:
                    said += f"; {error}"
                finally:
                    os.write(writing, said.encode())
                    os._exit(0)
            os.waitpid(child, 0)
            return None, os.read(reading, 1000).decode()

    run_plugin(Parent)
    """)
    assert plugin.call("MessageWillBePosted", post=Post()).rejection_reason.startswith("False")
    said = updated(plugin, "").rejection_reason
    assert said.startswith("0 are left; get_server_version() can't be called in a forked child")


def test_thousands_of_calls_at_once(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN)
    calls = [
        plugin.begin("MessageWillBeUpdated", new_post=Post(message=str(number)), old_post=Post())
        if number % 2
        else plugin.begin("MessageWillBePosted", post=Post(message=str(number)))
        for number in range(5000)
    ]
    for number, call in enumerate(calls):
        assert call.result(LIMIT).modified_post.message == f"{number}{'?' if number % 2 else '!'}"


def test_notifications_begin_in_their_order(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class Ordered(Plugin):
        @hook(HookName.MessageHasBeenPosted)
        def sync(self, ctx, post):
            self.logger.info("sync %s", post.message)
            # Longer than the leader's patience: most begin while others go on.
            time.sleep(0.005)

        @hook(HookName.MessageHasBeenUpdated)
        async def asynchronous(self, ctx, new, old):
            self.logger.info("async %s", new.message)
            await asyncio.sleep(0.005)

    run_plugin(Ordered)
    """)
    calls = []
    for number in range(50):
        calls.append(plugin.begin("MessageHasBeenPosted", post=Post(message=str(number))))
        calls.append(plugin.begin("MessageHasBeenUpdated", new_post=Post(message=str(number)), old_post=Post()))
    for call in calls:
        call.result(LIMIT)
    for kind in ("sync", "async"):
        assert re.findall(f'"{kind} ([0-9]+)"', plugin.log()) == [str(number) for number in range(50)]


@pytest.mark.parametrize("hook", ["MessageWillBePosted", "MessageHasBeenPosted"])
def test_a_handler_that_is_stuck_keeps_nobody_waiting(start_plugin: StartPlugin, hook: str) -> None:
    plugin = start_plugin(STUCK)
    plugin.busy(hook, post=Post())
    assert health(plugin) == HealthCheckResponse.SERVING
    plugin.shut_down()
    assert plugin.wait() == 0


def test_a_handler_that_computes_keeps_health_answered(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class Computing(Plugin):
        go_on = threading.Event()

        @hook(HookName.MessageWillBePosted)
        def compute(self, ctx, post):
            self.logger.info("begun")
            while not self.go_on.is_set():
                sum(range(1000))

        @hook(HookName.MessageWillBeUpdated)
        def end(self, ctx, new, old):
            self.go_on.set()

    run_plugin(Computing)
    """)
    computing = plugin.busy("MessageWillBePosted", post=Post())
    assert health(plugin) == HealthCheckResponse.SERVING
    updated(plugin, "")
    computing.result(LIMIT)


def test_more_stuck_handlers_than_threads(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    from effect_plugin import _hook_call as hook_call
    hook_call.HANDLER_THREADS = 4

    class Full(Plugin):
        go_on = threading.Event()

        @hook(HookName.MessageWillBePosted)
        def wait(self, ctx, post):
            self.logger.info("begun")
            self.go_on.wait()
            return None, post.message

        @hook(HookName.MessageWillBeUpdated)
        async def end(self, ctx, new, old):
            self.go_on.set()

    run_plugin(Full)
    """)
    calls = [plugin.busy("MessageWillBePosted", post=Post(message=str(number))) for number in range(4)]
    calls += [plugin.begin("MessageWillBePosted", post=Post(message=str(number))) for number in range(4, 10)]
    assert health(plugin) == HealthCheckResponse.SERVING
    assert plugin.log().count("begun") == 4
    updated(plugin, "")
    assert [call.result(LIMIT).rejection_reason for call in calls] == [str(number) for number in range(10)]


def test_a_call_that_is_given_up(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(STUCK)
    call = plugin.busy("MessageWillBeUpdated", new_post=Post(), old_post=Post())
    call.cancel()
    plugin.wait_for_log("cancelled")
    # Nobody is told of it a second time.
    assert health(plugin) == HealthCheckResponse.SERVING


def test_a_call_that_is_given_up_while_its_handler_is_about_to_begin(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        given_up = threading.Event()

        from effect_plugin._ttrpc import hooks
        read = hooks.arguments

        def hesitate(contract, method, request):
            if method.name == "MessageWillBeUpdated":
                print("about to begin", flush=True)
                given_up.wait()
            return read(contract, method, request)

        hooks.arguments = hesitate

        class Hesitant(Plugin):
            @hook(HookName.MessageWillBeUpdated)
            async def asynchronous(self, ctx, new, old):
                print("begun", flush=True)

            @hook(HookName.MessageWillBePosted)
            def sync(self, ctx, post):
                given_up.set()

            @hook(HookName.UserWillLogIn)
            async def after(self, ctx, user):
                return "after"

        run_plugin(Hesitant)
        """
    )
    call = plugin.begin("MessageWillBeUpdated", new_post=Post(), old_post=Post())
    plugin.wait_for_log("about to begin")
    call.cancel()
    plugin.call("MessageWillBePosted", post=Post())
    assert plugin.call("UserWillLogIn").rejection_reason == "after"
    assert "begun" not in plugin.log()


def test_calls_of_the_host_end_in_time_and_are_cancelled(start_plugin: StartPlugin, host_api: Any) -> None:
    go_on = threading.Event()

    def late(_: Any) -> str:
        go_on.wait(LIMIT)
        return "late"

    plugin = start_plugin(
        """
        class Hasty(Plugin):
            @hook(HookName.MessageWillBePosted)
            def sync(self, ctx, post):
                try:
                    return None, self.api.with_timeout(0.2).get_server_version()
                except UnavailableError as error:
                    return None, str(error)

            @hook(HookName.MessageWillBeUpdated)
            async def asynchronous(self, ctx, new, old):
                try:
                    return None, await self.async_api.with_timeout(0.2).get_server_version()
                except UnavailableError as error:
                    return None, str(error)

            @hook(HookName.UserWillLogIn)
            async def given_up(self, ctx, user):
                try:
                    await asyncio.wait_for(self.async_api.get_server_version(), 0.2)
                except asyncio.TimeoutError:
                    return "given up"

        run_plugin(Hasty)
        """,
        MATTERMOST_PLUGIN_API_TARGET=versions(host_api, late),
    )
    serving = plugin.serving
    assert serving is not None
    serving.keeps_deadlines = False
    try:
        assert plugin.call("MessageWillBePosted", post=Post()).rejection_reason == "Deadline Exceeded"
        assert updated(plugin, "").rejection_reason == "Deadline Exceeded"
        assert plugin.call("UserWillLogIn").rejection_reason == "given up"
    finally:
        go_on.set()
    end = time.monotonic() + LIMIT
    while len(serving.cancelled) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    # Each is told what is left: all but the time that it took to get there.
    assert all(0 < request.timeout_nano <= 0.2e9 for request in serving.asked[:2])


def test_many_threads_and_loops_call_the_host(start_plugin: StartPlugin, host_api: Any) -> None:
    plugin = start_plugin(
        """
        class Busy(Plugin):
            @hook(HookName.MessageWillBePosted)
            def sync(self, ctx, post):
                found = []
                def ask():
                    for _ in range(20):
                        found.append(self.api.get_server_version())
                async def ask_async():
                    found.extend(await asyncio.gather(*(self.async_api.get_server_version() for _ in range(20))))
                threads = [threading.Thread(target=ask) for _ in range(8)]
                threads += [threading.Thread(target=lambda: asyncio.run(ask_async())) for _ in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                return None, f"{len(found)} {set(found)}"

        run_plugin(Busy)
        """,
        MATTERMOST_PLUGIN_API_TARGET=versions(host_api, lambda _: "1"),
    )
    for _ in range(3):
        assert plugin.call("MessageWillBePosted", post=Post()).rejection_reason == "240 {'1'}"


def test_a_plugin_that_can_start_no_thread_any_more_ends_well(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    import atexit

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    class Poor(Plugin):
        @hook(HookName.OnDeactivate)
        def deactivate(self):
            atexit.register(print, "at its exit")
            threading.Thread.start = refuse

    run_plugin(Poor)
    """)
    plugin.call("OnDeactivate")
    plugin.shut_down()
    assert plugin.wait() == 0
    assert "at its exit" in plugin.log()
    assert "Traceback" not in plugin.log()


def test_a_plugin_whose_reading_thread_is_made_to_fail_ends(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    import ctypes

    class Careless(Plugin):
        @hook(HookName.MessageWillBePosted)
        def sync(self, ctx, post):
            pass

        @hook(HookName.MessageWillBeUpdated)
        async def asynchronous(self, ctx, new, old):
            for thread in threading.enumerate():
                if thread.name.startswith("hook-"):
                    error = ctypes.py_object(SystemExit)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), error)

    run_plugin(Careless)
    """)
    # A thread that waits comes to its exception when it has something to read.
    with contextlib.suppress(grpc.RpcError, OSError):
        for _ in range(2):
            updated(plugin, "")
    assert plugin.wait() == -signal.SIGKILL
    assert "the connection of the host fails" in plugin.log()


def test_a_host_that_has_gone(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(STUCK)
    plugin.busy("MessageWillBePosted", post=Post())
    raw(plugin).shutdown(socket.SHUT_RDWR)
    # It is the leader of its group, which ends with it.
    assert plugin.wait() == -signal.SIGKILL, plugin.log()


def opened(stream: int, message: str = "a") -> bytes:
    payload = message_class(HOOKS.methods_by_name["MessageWillBePosted"].input_type)(
        post=Post(message=message).to_proto()
    )
    request = Request(service=HOOKS.full_name, method="MessageWillBePosted", payload=payload.SerializeToString())
    return frame(stream, REQUEST, request.SerializeToString())


#: What no host should send.
GARBAGE = [
    frame(1_000_001, 9, b"a type that nobody knows"),
    frame(1_000_001, REQUEST, b"\xff\xff no request"),
    frame(1_000_002, REQUEST, b"an even stream"),
    frame(1_000_001, DATA, b"data that no call takes"),
    frame(1_000_001, RESPONSE, b""),
    opened(1),
    frame(1_000_001, REQUEST, Request(service="no.Such", method="Thing").SerializeToString()),
    frame(1_000_001, REQUEST, Request(service=HOOKS.full_name, method="Thing").SerializeToString()),
    frame(1_000_001, REQUEST, Request(service=HOOKS.full_name, method="ServeHTTP").SerializeToString()),
    frame(1_000_001, REQUEST, b"x" * 200_000),
]

#: What can't be frames, or ends within one.
NO_FRAMES = [b"\xff" * 10, b"GET / HTTP/1.1\r\n\r\n", opened(1)[:20]]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_no_host_should_send_fails_that_stream_alone(start_plugin: StartPlugin, garbage: bytes) -> None:
    plugin = start_plugin(PLUGIN, PLUGIN_SUPERVISOR_MESSAGE_LIMIT="100000")
    assert plugin.call("MessageWillBePosted", post=Post(message="a")).modified_post.message == "a!"
    raw(plugin).sendall(garbage[:7])
    raw(plugin).sendall(garbage[7:])
    # The harness opens streams from 1 on, and the garbage is far ahead of them.
    assert plugin.caller is not None
    plugin.caller._stream = 1_000_101
    assert plugin.call("MessageWillBePosted", post=Post(message="b")).modified_post.message == "b!"
    assert plugin.process.poll() is None


@pytest.mark.parametrize("garbage", NO_FRAMES)
def test_what_is_no_frame_ends_the_plugin(start_plugin: StartPlugin, garbage: bytes) -> None:
    plugin = start_plugin(PLUGIN)
    raw(plugin).sendall(garbage)
    if garbage == NO_FRAMES[-1]:
        raw(plugin).shutdown(socket.SHUT_RDWR)
    assert plugin.wait() in (0, 1, -signal.SIGKILL)


def test_deadlines(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(STUCK)
    for hook, fields in (
        ("MessageWillBePosted", {"post": Post()}),
        ("MessageWillBeUpdated", {"new_post": Post(), "old_post": Post()}),
    ):
        call = lambda hook=hook, fields=fields: plugin.call(hook, 0.2, **fields)  # noqa: E731
        assert code_of(call)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    # One whose time is over when it comes.
    code, _ = code_of(lambda: plugin.call("MessageWillBePosted", -1.0, post=Post()))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert plugin.log().count("begun") == 2


def test_large_messages_both_ways(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(PLUGIN)
    message = "x" * 5_000_000
    calls = [plugin.begin("MessageWillBePosted", post=Post(message=message)) for _ in range(4)]
    assert all(call.result(LIMIT).modified_post.message == message + "!" for call in calls)
