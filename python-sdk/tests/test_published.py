"""A plugin as it is written for the published SDK: its imports, its habits, and protobuf's ways with messages."""

from __future__ import annotations

import importlib
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

import mattermost_plugin
from mattermost_plugin import DISMISS_POST_ERROR, HTTPResponseWriter, NotFoundError, Plugin, PluginAPIError
from mattermost_plugin.testing import FakeHostAPI
from mattermost_plugin.testing import StartPlugin as StartPluginHost
from mattermost_plugin.types import (
    AppError,
    Channel,
    CommandArgs,
    PluginStatus,
    Post,
    PostMetadata,
    PostPriority,
    TeamMemberWithError,
    User,
)

from .conftest import StartPlugin
from .test_http import body_of, get, headers_of
from .wire import ServeHTTPRequest

PLUGIN = """
    import logging
    from google.protobuf import json_format
    from mattermost_plugin import Command, CommandResponse, HookName, NotFoundError, Plugin, PluginAPIClient, hook
    from mattermost_plugin._internal.wrappers import Channel, ChannelType, Post, User
    from mattermost_plugin.server import run_plugin
    from mattermost_plugin.servicers.hooks_servicer import HTTPRequest, HTTPResponseWriter, DISMISS_POST_ERROR

    class Published(Plugin):
        def __init__(self, api=None, config=None):
            super().__init__(api=api, config=config)
            self.seen = []

        @hook(HookName.OnActivate)
        def on_activate(self) -> None:
            self.api.connect()
            try:
                self.api.connect()
            except RuntimeError as error:
                assert "already connected" in str(error)
            else:
                raise AssertionError("connected twice")
            user = self.api.get_user("u")
            assert isinstance(user, User) and user.remote_id is None and user.props == {}
            channel = self.api.get_channel("c")
            assert channel.type == ChannelType.PRIVATE.value and channel.props["n"] == 1
            created = self.api.create_post(Post(id="", channel_id=channel.id, message=f"hello {user.username}"))
            assert created.id == "id1"

        @hook(HookName.MessageWillBePosted)
        def on_post(self, context, post):
            self.seen.append(context.request_id)
            if "drop" in post.message:
                return None, DISMISS_POST_ERROR
            if "copy" in post.message:
                changed = type(post)()
                changed.CopyFrom(post)
                changed.message = "a copy of " + json_format.MessageToDict(post)["id"]
                changed.file_ids.extend(["f1", "f2"])
                del changed.file_ids[0]
                changed.props.update({"copied": True})
                return changed, ""
            if post.HasField("remote_id"):
                return Post(id=post.id, channel_id="c", message=post.remote_id)
            return post, ""

        @hook("ExecuteCommand")
        async def on_command(self, context, args):
            text = getattr(args, "text", "") or args.command
            return {"response_type": "ephemeral", "text": f"{text} {len(self.seen)}", "unknown_key": 1}

        @hook
        def ServeHTTP(self, context, response: HTTPResponseWriter, request: HTTPRequest):
            response.status_code = 201
            response.headers["X-Direct"] = ["yes"]
            response.set_header("x-direct", "and set")
            response.write(request.body)
            response.flush()

    if __name__ == "__main__":
        run_plugin(Published)
"""


def test_a_plugin_written_for_the_published_sdk(start_plugin: StartPlugin, tmp_path: Path) -> None:
    api = FakeHostAPI("published", {})
    api.answer("get_user", User(id="u", username="ann"))
    api.answer("get_channel", Channel(id="c", type="P", props={"n": 1}))
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((api.service(),))
    server.add_insecure_port(f"unix:{tmp_path}/api.sock")
    server.start()
    try:
        plugin = start_plugin(PLUGIN, header="", MATTERMOST_PLUGIN_API_TARGET=f"unix:{tmp_path}/api.sock")
        assert plugin.call("OnActivate").error.message == ""
        (created,) = api.calls_of("create_post")
        assert created.post.message == "hello ann"

        def posted(message: str, **fields: Any) -> Any:
            return plugin.call("MessageWillBePosted", post=Post(id="p", message=message, **fields))

        assert posted("hi", props={"a": [1]}).modified_post == Post(id="p", message="hi", props={"a": [1]}).to_proto()
        assert posted("drop it").rejection_reason == DISMISS_POST_ERROR
        copied = posted("copy me", metadata=PostMetadata(priority=PostPriority(priority="urgent"))).modified_post
        assert (copied.message, list(copied.file_ids), copied.props["copied"]) == ("a copy of p", ["f2"], True)
        assert copied.metadata.priority.priority == "urgent"
        assert posted("hi", remote_id="far").modified_post.message == "far"

        answer = plugin.call("ExecuteCommand", args=CommandArgs(command="/hello")).response
        assert (answer.response_type, answer.text) == ("ephemeral", "/hello 4")

        response = get(plugin, "/", ServeHTTPRequest(body_chunk=b"body", body_complete=True))
        assert (response[0].init.status_code, body_of(response)) == (201, b"body")
        assert headers_of(response) == {"x-direct": ["and set"]}
    finally:
        server.stop(None)


def test_the_messages_have_the_names_that_protoc_gives_them() -> None:
    from mattermost_plugin.grpc import channel_pb2, hooks_message_pb2, post_pb2

    post = Post(id="p", message="hi", props={"a": 1})
    made = post_pb2.Post()
    made.CopyFrom(post)
    made.message = made.message.upper()
    assert made == Post(id="p", message="HI", props={"a": 1}) and type(made) is Post
    request = hooks_message_pb2.MessageWillBePostedRequest(post=post.to_proto())
    assert request.FromString(request.SerializeToString()).post.message == "hi"
    assert channel_pb2.ChannelType.Value("CHANNEL_TYPE_OPEN") == channel_pb2.CHANNEL_TYPE_OPEN == 1
    assert importlib.import_module("mattermost_plugin.grpc.user_pb2").User is User
    with pytest.raises(ImportError):
        from mattermost_plugin.grpc import nothing_pb2  # noqa: F401


def test_its_other_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    from mattermost_plugin.async_client import AsyncPluginAPIClient
    from mattermost_plugin.runtime_config import RuntimeConfig

    monkeypatch.setenv("MATTERMOST_PLUGIN_ID", "p")
    assert RuntimeConfig.from_env().plugin_id == "p"
    assert not AsyncPluginAPIClient("unix:/nowhere").connected


def test_what_differs(plugin_host: StartPluginHost) -> None:
    """The rest of what docs/from-the-published-sdk.md says of it is tested with hooks, types, the client and HTTP."""

    class Differs(Plugin):
        pass

    host = plugin_host(Differs, config={"Greeting": "hi"})
    api = host.plugin.api
    assert api.connected and api.load_plugin_configuration().json() == {"greeting": "hi"}
    host.api.answer("get_user", User(id="u", username="ann", allow_marketing=True))
    user = api.get_user("u")
    user.username = "bob"
    assert user.allow_marketing
    with pytest.raises(TypeError, match="unhashable"):
        hash(user)
    host.api.answer("create_team_members_gracefully", [TeamMemberWithError(user_id="u", error=AppError(id="full"))])
    (member,) = api.create_team_members_gracefully("t", ["u"], "u")
    assert member.error is not None and member.error.id == "full"
    host.api.answer("get_plugin_status", PluginStatus(plugin_id="p"))
    assert api.get_plugin_status("p").plugin_id == "p"
    host.api.answer("get_emoji_image", (b"image", "png"))
    assert api.get_emoji_image("e") == b"image"
    for name in ("get_body", "get_pending_writes", "clear_pending_writes"):
        assert not hasattr(HTTPResponseWriter, name)


def test_an_error_of_the_host_says_what_it_is() -> None:
    error = NotFoundError("no such post", error_id="app.post.get", status_code=404)
    assert str(error) == "no such post [app.post.get] (HTTP 404)"
    assert error.message == "no such post" and error.code is grpc.StatusCode.NOT_FOUND
    assert PluginAPIError("odd", status_code=418).code is grpc.StatusCode.INTERNAL
    assert str(PluginAPIError("gone", code=grpc.StatusCode.UNAVAILABLE)) == "gone"
    assert PluginAPIError("nothing").code is None


def test_a_hook_without_a_handler_answers_nothing() -> None:
    class Empty(Plugin):
        pass

    assert Empty().invoke_hook("OnActivate") is None


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("client", "AsyncPluginAPIClient PluginAPIClient"),
        ("commands", "command"),
        ("config", "RuntimeConfig load_runtime_config"),
        ("exceptions", "NotFoundError PluginAPIError convert_app_error convert_grpc_error"),
        ("goplugin", "HandshakeConfig run serve"),
        ("hooks", "DISMISS_POST_ERROR HookName HookRegistrationError hook"),
        ("http", "ClientDisconnected HTTPRequest HTTPResponseWriter"),
        ("jobs", "cron every"),
        ("logs", "configure"),
        ("models", "Json Model"),
        ("plugin", "Plugin"),
        ("router", "Router include"),
        ("server", "run_plugin serve_plugin"),
        ("settings", "SettingsError read_settings"),
        ("store", "AsyncKeyValueStore KeyValueStore"),
        ("testing", "FakeHostAPI FakeKeyValueStore PluginHost StartPlugin"),
        ("types", "AppError Json Post"),
        ("web", "asgi wsgi"),
    ],
)
def test_what_was_here_before_there_was_an_engine(module: str, names: str) -> None:
    found = importlib.import_module(f"mattermost_plugin.{module}")
    for name in names.split():
        assert getattr(found, name) is getattr(mattermost_plugin, name, getattr(found, name))
