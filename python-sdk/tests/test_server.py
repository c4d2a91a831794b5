"""Hooks over real gRPC, against a plugin's real process."""

from __future__ import annotations

import functools
from concurrent import futures
from typing import Any

import grpc
import pytest

from effect_plugin._descriptors import message_class
from mattermost_plugin._contract import CONTRACT
from mattermost_plugin.types import Post

from .conftest import IN_GOOD_TIME, LIMIT, STUCK, StartPlugin, code_of
from .test_http import headers_of, init
from .wire import API, handler_arguments, response_of

BOTH_PROTOCOLS = True

#: Fields of a post, by their numbers.
PROPS, MESSAGE = (Post.DESCRIPTOR.fields_by_name[name].number for name in ("props", "message"))


def field(number: int, data: bytes) -> bytes:
    """A field of bytes, as protobuf writes it."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(number: int) -> bytes:
    more = number >> 7
    return bytes([number & 127 | 128]) + varint(more) if more else bytes([number])


HOOKS = """
    class Hooks(Plugin):
        @hook(HookName.OnActivate)
        def activate(self):
            self.logger.info("version %s", self.api.get_server_version())

        @hook(HookName.OnDeactivate)
        def deactivate(self):
            raise ValueError("can't stop")

        @hook(HookName.MessageWillBePosted)
        def check(self, ctx, post):
            if post.message == "raise":
                raise ValueError("the secret is 42")
            if post.message == "sleep":
                time.sleep(600)
            if post.message == "wrong":
                return 42
            return None, post.message

        @hook(HookName.MessageWillBeUpdated)
        async def check_update(self, ctx, new, old):
            if new.message == "sleep":
                await asyncio.sleep(600)
            if new.message == "stubborn":
                try:
                    await asyncio.sleep(600)
                except asyncio.CancelledError:
                    await asyncio.sleep(600)
            await asyncio.sleep(0)
            return f"{old.message} to {new.message}"

        @hook(HookName.ExecuteCommand)
        def execute(self, ctx, args):
            raise ValueError("the secret is 42")

    run_plugin(Hooks)
"""


def test_a_refusal_reaches_the_host_whatever_it_says(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        class Strange(BaseException):
            def __str__(self):
                raise RuntimeError("not even this")

        class Guard(Plugin):
            @hook(HookName.MessageWillBePosted)
            def guard(self, ctx, post):
                if post.message == "raise":
                    raise Strange()
                return None, {"file": os.fsdecode(b"no: \\xff"), "long": "x" * 10**8}[post.message]

            @hook(HookName.OnActivate)
            def activate(self):
                raise Strange()

        run_plugin(Guard)
        """
    )
    assert plugin.call("MessageWillBePosted", post=Post(message="file")).rejection_reason == "no: \ufffd"
    assert plugin.call("MessageWillBePosted", post=Post(message="long")).rejection_reason.startswith("xxx")
    code, details = code_of(lambda: plugin.call("MessageWillBePosted", post=Post(message="raise")))
    assert code == grpc.StatusCode.INTERNAL and "raised Strange" in details
    assert "raised Strange" in plugin.call("OnActivate").error.message


@pytest.mark.grpc
def test_what_can_t_be_read_is_an_error_and_no_answer(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HOOKS)
    call: Any = plugin.channel.unary_unary(f"/{CONTRACT.hooks_service.full_name}/MessageWillBePosted")
    # A post whose props are nested 60 objects deep: protobuf decodes a hundred messages, and each object takes three.
    deep = b""
    for _ in range(60):
        deep = field(1, field(1, b"a") + field(2, field(5, deep)))
    for request in (b"\xff\xff", field(3, field(1, b"\xff")), field(3, field(PROPS, deep))):
        code, _ = code_of(functools.partial(call, request, timeout=LIMIT))
        assert code == grpc.StatusCode.UNKNOWN
    assert plugin.call("MessageWillBePosted", post=Post(message="no")).rejection_reason == "no"


@pytest.mark.grpc
def test_no_message_is_larger_than_the_limit_unpacked_or_not(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HOOKS, PLUGIN_SUPERVISOR_MESSAGE_LIMIT="1000000")
    unlimited = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"unix:{plugin.address}", options=unlimited) as channel:
        call: Any = channel.unary_unary(f"/{CONTRACT.hooks_service.full_name}/MessageWillBePosted")
        large = field(3, field(MESSAGE, b"x" * 1_000_000))
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            code, details = code_of(functools.partial(call, large, timeout=LIMIT, compression=compression))
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details
    assert plugin.call("MessageWillBePosted", post=Post(message="no")).rejection_reason == "no"


def test_hooks(start_plugin: StartPlugin, host_api: Any) -> None:
    version = message_class(API.methods_by_name["GetServerVersion"].output_type)
    target = host_api({"GetServerVersion": lambda _: version(version="1.2.3")})
    plugin = start_plugin(HOOKS, MATTERMOST_PLUGIN_API_TARGET=target, MATTERMOST_PLUGIN_ID="hooks")

    assert plugin.call("Implemented").hooks == [
        "ExecuteCommand",
        "MessageWillBePosted",
        "MessageWillBeUpdated",
        "OnActivate",
        "OnDeactivate",
    ]
    assert plugin.call("OnActivate").error.id == ""
    plugin.wait_for_log("version 1.2.3")

    assert plugin.call("MessageWillBePosted", post=Post(message="no")).rejection_reason == "no"
    updated = plugin.call("MessageWillBeUpdated", new_post=Post(message="b"), old_post=Post(message="a"))
    assert updated.rejection_reason == "a to b"
    assert plugin.call("UserWillLogIn").rejection_reason == "", "no handler, no opinion"

    code, details = code_of(lambda: plugin.call("MessageWillBePosted", post=Post(message="raise")))
    assert code == grpc.StatusCode.INTERNAL
    assert details == "plugin hooks: MessageWillBePosted raised ValueError"
    assert "the secret is 42" in plugin.wait_for_log("the secret is 42"), "the operator may know"
    code, details = code_of(lambda: plugin.call("MessageWillBePosted", post=Post(message="wrong")))
    assert code == grpc.StatusCode.INTERNAL
    assert "it takes None, a Post" in details

    command = plugin.call("ExecuteCommand").error
    assert (command.id, command.status_code) == ("plugin.execute_command.error", 500)
    assert "42" not in command.message
    assert "can't stop" in plugin.call("OnDeactivate").error.message


@pytest.mark.parametrize(
    ("hook", "fields"),
    [
        ("MessageWillBePosted", {"post": Post(message="sleep")}),
        ("MessageWillBeUpdated", {"new_post": Post(message="sleep")}),
        ("MessageWillBeUpdated", {"new_post": Post(message="stubborn")}),
    ],
    ids=["sync", "async", "async that ignores its cancellation"],
)
def test_a_handler_has_less_time_than_its_call(start_plugin: StartPlugin, hook: str, fields: dict[str, Any]) -> None:
    plugin = start_plugin(IN_GOOD_TIME + HOOKS)
    code, details = code_of(lambda: plugin.call(hook, **fields))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert details == f"plugin Hooks: {hook} did not return in time", "the plugin says so before the host gives up"


@pytest.mark.parametrize("ends", ["at its deadline", "by the host"])
def test_an_async_handler_is_cancelled_when_its_call_ends(start_plugin: StartPlugin, ends: str) -> None:
    plugin = start_plugin(IN_GOOD_TIME + STUCK if ends == "at its deadline" else STUCK)
    running = plugin.busy("MessageWillBeUpdated", timeout=LIMIT)
    if ends == "by the host":
        running.cancel()
    plugin.wait_for_log("cancelled")


@pytest.mark.grpc
def test_the_hosts_limit_holds_where_a_call_has_none(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HOOKS, MATTERMOST_PLUGIN_HOOK_TIMEOUT="0.3")
    call: Any = plugin.channel.unary_unary("/mattermost.pluginapi.v1.PluginHooks/MessageWillBePosted")
    request = message_class(CONTRACT.hooks_service.methods_by_name["MessageWillBePosted"].input_type)
    code, _ = code_of(lambda: call(request(post=Post(message="sleep").to_proto()).SerializeToString()))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED


UNUSUAL = """
    import argparse, functools

    def plain(handler):
        @functools.wraps(handler)
        def wrapper(*args):
            return handler(*args)
        return wrapper

    class Unusual(Plugin):
        @hook(HookName.MessageWillBePosted)
        def check(self, ctx, post):
            if post.message == "timeout":
                raise TimeoutError("the database's")
            if post.message == "stop":
                next(iter([]))
            if post.message == "exit":
                argparse.ArgumentParser(exit_on_error=False).error("no such option")
            if post.message == "empty":
                return ValueError()

        @hook(HookName.MessageWillBeUpdated)
        async def check_update(self, ctx, new, old):
            if new.message == "cancelled":
                task = asyncio.ensure_future(asyncio.sleep(5))
                task.cancel()
                await task
            sys.exit(3)

        @hook(HookName.UserWillLogIn)
        @plain
        async def hidden(self, ctx, user):
            await asyncio.sleep(0)
            return "from a coroutine"

        @hook(HookName.OnActivate)
        def activate(self):
            raise KeyError("setting")

        @hook(HookName.OnInstall)
        def install(self, ctx, event):
            raise ValueError("the secret is 42")

        @hook(HookName.OnConfigurationChange)
        def change(self):
            self.api

    run_plugin(Unusual)
"""


def test_handlers_that_end_in_unusual_ways(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(UNUSUAL)

    def posted(message: str) -> tuple[grpc.StatusCode, str]:
        return code_of(lambda: plugin.call("MessageWillBePosted", post=Post(message=message)))

    def updated(message: str) -> tuple[grpc.StatusCode, str]:
        return code_of(lambda: plugin.call("MessageWillBeUpdated", new_post=Post(message=message)))

    said = "plugin Unusual: MessageWillBePosted raised"
    assert posted("timeout") == (grpc.StatusCode.INTERNAL, f"{said} TimeoutError")
    assert posted("stop") == (grpc.StatusCode.INTERNAL, f"{said} RuntimeError")
    assert posted("exit") == (grpc.StatusCode.INTERNAL, f"{said} RuntimeError")
    assert updated("exit")[0] == grpc.StatusCode.INTERNAL
    assert updated("cancelled") == (
        grpc.StatusCode.INTERNAL,
        "plugin Unusual: MessageWillBeUpdated raised CancelledError",
    )
    log = plugin.log()
    for text in ("the database's", "the handler raised StopIteration", "called sys.exit(2)", "called sys.exit(3)"):
        assert text in log, text
    rejected = plugin.call("MessageWillBePosted", post=Post(message="empty"))
    assert rejected.rejection_reason == "ValueError", "an exception without a text is no assent"
    assert plugin.call("UserWillLogIn").rejection_reason == "from a coroutine"
    assert plugin.process.poll() is None, "and the plugin lives"


@pytest.mark.grpc
def test_errors_of_the_operators_hooks(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(UNUSUAL)
    activated = plugin.call("OnActivate").error
    assert (activated.id, activated.status_code, activated.where, activated.message) == (
        "plugin.on_activate.error",
        500,
        "OnActivate",
        "KeyError: 'setting'",
    )
    changed = plugin.call("OnConfigurationChange").error
    assert changed.id == "plugin.on_configuration_change.error"
    assert "has no host API" in changed.message
    installed = plugin.call("OnInstall").error
    assert (installed.id, installed.message) == (
        "plugin.on_install.error",
        "plugin Unusual: OnInstall raised ValueError",
    )


def test_every_hook_arrives(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    def handler(name):
        def handle(self, *args):
            print(f"{name.value} got {len(args)}")
        return hook(name)(handle)

    All = type("All", (Plugin,), {f"on_{name.value}": handler(name) for name in HookName})
    run_plugin(All)
    """)
    names = [method.name for method in CONTRACT.hooks_service.methods if method.name != "Implemented"]
    assert plugin.call("Implemented").hooks == sorted(names)
    for name in names:
        if name == "ServeHTTP":
            continue
        method = CONTRACT.hooks_service.methods_by_name[name]
        response = plugin.call(name)
        assert response == response_of(name, message_class(method.input_type)(), None)
        assert f'"{name} got {len(handler_arguments(method))}"' in plugin.log()


def test_hooks_run_side_by_side(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class Together(Plugin):
        meeting = threading.Barrier(24)

        @hook(HookName.UserWillLogIn)
        def wait(self, ctx, user):
            return str(self.meeting.wait(60) is not None)

    run_plugin(Together)
    """)
    with futures.ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(lambda _: plugin.call("UserWillLogIn").rejection_reason, range(24)))
    assert answers == ["True"] * 24


CROWDED = """
    from effect_plugin import _hook_call as hook_call
    hook_call.HANDLER_THREADS = 4
    from effect_plugin._serving import handler
    handler.PATIENCE = 0.2

    class Crowded(Plugin):
        http_threads = 4

        @hook(HookName.ServeHTTP)
        def serve(self, ctx, writer, request):
            writer.write("begun")
            time.sleep(600)

        @hook(HookName.UserWillLogIn)
        def log_in(self, ctx, user):
            return "no"

        @hook(HookName.MessageWillBePosted)
        def check(self, ctx, post):
            self.logger.info("begun")
            time.sleep(600)

    run_plugin(Crowded)
"""


@pytest.mark.grpc
def test_clients_can_t_keep_hooks_waiting(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(CROWDED)

    def request() -> Any:
        return plugin.serve_http(iter([init("/", body_complete=True)]), timeout=10 * LIMIT)

    stuck = [request() for _ in range(4)]
    assert [next(answer).body_chunk for answer in stuck] == [b"begun"] * 4
    for answer in stuck:
        answer.cancel()
    assert plugin.call("UserWillLogIn").rejection_reason == "no"
    refused = list(request())
    assert refused[0].init.status_code == 503
    assert headers_of(refused)["Retry-After"] == ["1"]
    plugin.wait_for_log("ServeHTTP (Crowded.serve) could not begin: all 4 threads are at work")


def test_a_handler_that_could_not_begin_is_told_apart(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IN_GOOD_TIME + CROWDED)
    for _ in range(4):
        plugin.busy("MessageWillBePosted")
    code, _ = code_of(lambda: plugin.call("UserWillLogIn"))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    plugin.wait_for_log("UserWillLogIn (Crowded.log_in) could not begin, with 4 others at work, within")
