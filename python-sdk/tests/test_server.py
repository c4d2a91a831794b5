"""Hooks and HTTP over real gRPC, against a plugin's real process."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from typing import Any, Callable

import grpc
import pytest

from mattermost_plugin import contract
from mattermost_plugin._generated.mattermost.pluginapi.v1.hooks_http_pb2 import (
    HTTPHeader,
    ServeHTTPRequest,
    ServeHTTPRequestInit,
)
from mattermost_plugin.contract import API, message_class
from mattermost_plugin.types import Post

from .conftest import LIMIT, StartPlugin

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
                time.sleep(30)
            if post.message == "wrong":
                return 42
            return None, post.message

        @hook(HookName.MessageWillBeUpdated)
        async def check_update(self, ctx, new, old):
            if new.message == "sleep":
                await asyncio.sleep(30)
            await asyncio.sleep(0)
            return f"{old.message} to {new.message}"

        @hook(HookName.ExecuteCommand)
        def execute(self, ctx, args):
            raise ValueError("the secret is 42")

    run_plugin(Hooks)
"""


def code_of(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details()


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


@pytest.mark.parametrize("hook", ["MessageWillBePosted", "MessageWillBeUpdated"])
def test_a_handler_has_less_time_than_its_call(start_plugin: StartPlugin, hook: str) -> None:
    plugin = start_plugin(HOOKS)
    slow = {
        "MessageWillBePosted": {"post": Post(message="sleep")},
        "MessageWillBeUpdated": {"new_post": Post(message="sleep")},
    }
    plugin.call("Implemented")
    began = time.monotonic()
    code, details = code_of(lambda: plugin.call(hook, timeout=1, **slow[hook]))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert details.endswith("did not return in time"), "the plugin says so before the host gives up"
    assert time.monotonic() - began < 2


def test_the_hosts_limit_holds_where_a_call_has_none(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HOOKS, MATTERMOST_PLUGIN_HOOK_TIMEOUT="0.3")
    call: Any = plugin.channel.unary_unary("/mattermost.pluginapi.v1.PluginHooks/MessageWillBePosted")
    request = message_class(contract.HOOKS.methods_by_name["MessageWillBePosted"].input_type)
    code, _ = code_of(lambda: call(request(post=Post(message="sleep")).SerializeToString()))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED


HTTP = """
    class Http(Plugin):
        @hook(HookName.ServeHTTP)
        def serve(self, ctx, writer, request):
            getattr(self, request.url.strip("/"))(writer, request)

        def inspect(self, writer, request):
            writer.set_header("X-One", "1")
            writer.set_header("x-one", "2")
            writer.add_header("X-ONE", "3")
            writer.write_header(201)
            writer.write(request.get_header("content-TYPE") + str(request.get_all_headers("accept")) + request.method)
            writer.write(request.body)

        def echo(self, writer, request):
            for chunk in request.stream():
                writer.write(chunk)

        def large(self, writer, request):
            writer.write(b"x" * 200_000)

        def nothing(self, writer, request):
            pass

        def fail(self, writer, request):
            raise ValueError("the secret is 42")

        def fail_late(self, writer, request):
            writer.write(b"begun")
            raise ValueError("the secret is 42")

        def headers_late(self, writer, request):
            writer.write(b"begun")
            writer.set_header("X", "too late")

        def for_ever(self, writer, request):
            try:
                while True:
                    writer.write(b"x" * 65536)
            except ClientDisconnected:
                self.logger.info("the client has gone")

    run_plugin(Http)
"""


def init(url: str, **fields: Any) -> ServeHTTPRequest:
    headers = [HTTPHeader(key="Content-Type", values=["text/x"]), HTTPHeader(key="Accept", values=["a", "b"])]
    return ServeHTTPRequest(
        init=ServeHTTPRequestInit(method="POST", url=url, headers=headers, content_length=-1), **fields
    )


def get(plugin: Any, url: str, *messages: ServeHTTPRequest) -> list[Any]:
    return list(plugin.serve_http(iter([init(url, body_complete=not messages), *messages])))


def test_http(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HTTP)
    answer = get(
        plugin, "/inspect", ServeHTTPRequest(body_chunk=b"bo"), ServeHTTPRequest(body_chunk=b"dy", body_complete=True)
    )
    head = answer[0].init
    assert head.status_code == 201
    assert [(header.key, list(header.values)) for header in head.headers] == [("x-one", ["2", "3"])]
    assert b"".join(message.body_chunk for message in answer) == b"text/x['a', 'b']POSTbody"
    assert [message.body_complete for message in answer] == [False] * (len(answer) - 1) + [True]
    assert not any(message.HasField("init") for message in answer[1:])

    large = get(plugin, "/large")
    assert sum(len(message.body_chunk) for message in large) == 200_000
    assert max(len(message.body_chunk) for message in large) == 65536

    (nothing,) = get(plugin, "/nothing")
    assert nothing.init.status_code == 200 and nothing.body_complete

    failed = get(plugin, "/fail")
    assert failed[0].init.status_code == 500
    assert b"".join(message.body_chunk for message in failed) == b"Internal Server Error"


def test_http_that_fails_late_is_cut_off(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HTTP)
    for url in ("/fail_late", "/headers_late"):
        received = []
        with pytest.raises(grpc.RpcError) as caught:
            received.extend(plugin.serve_http(iter([init(url, body_complete=True)])))
        error: Any = caught.value
        assert error.code() == grpc.StatusCode.INTERNAL
        assert "42" not in error.details()


def test_http_streams_both_ways(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HTTP)
    outgoing: queue.Queue[ServeHTTPRequest | None] = queue.Queue()

    def messages() -> Iterator[ServeHTTPRequest]:
        while (message := outgoing.get(timeout=LIMIT)) is not None:
            yield message

    call = plugin.serve_http(messages())
    outgoing.put(init("/echo"))
    for part in (b"one", b"two"):
        outgoing.put(ServeHTTPRequest(body_chunk=part))
        assert next(call).body_chunk == part
    outgoing.put(ServeHTTPRequest(body_complete=True))
    outgoing.put(None)
    assert next(call).body_complete


def test_a_client_that_goes_is_noticed_by_the_handler(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HTTP)
    call = plugin.serve_http(iter([init("/for_ever", body_complete=True)]))
    next(call)
    call.cancel()
    plugin.wait_for_log("the client has gone")


def test_http_without_a_head_or_a_handler(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(HTTP)
    code, details = code_of(lambda: list(plugin.serve_http(iter([ServeHTTPRequest(body_complete=True)]))))
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "the first message of ServeHTTP has no init")
    silent = start_plugin("""
    class Silent(Plugin): ...

    run_plugin(Silent)
    """)
    assert get(silent, "/")[0].init.status_code == 404


def test_async_http(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class Async(Plugin):
        @hook(HookName.ServeHTTP)
        async def serve(self, ctx, writer, request):
            async for chunk in request.stream():
                writer.write(chunk.upper())
                await writer.drain()

    run_plugin(Async)
    """)
    answer = get(plugin, "/", ServeHTTPRequest(body_chunk=b"a"), ServeHTTPRequest(body_chunk=b"b", body_complete=True))
    assert b"".join(message.body_chunk for message in answer) == b"AB"
