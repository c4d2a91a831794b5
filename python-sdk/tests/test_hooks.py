"""The decorator, the registry, and what handlers get and may answer."""

from __future__ import annotations

from typing import Any

import pytest

from mattermost_plugin import HookName, HookRegistrationError, Plugin, hook
from mattermost_plugin.contract import HOOKS, message_class
from mattermost_plugin.dispatch import HookResultError, arguments, handler_arguments, no_handler, response_of
from mattermost_plugin.types import CommandResponse, EmailNotificationContent, FileData, FileInfo, Post, User

ALL_HOOKS = [method.name for method in HOOKS.methods if method.name != "Implemented"]


def request(hook_name: str, **fields: Any) -> Any:
    return message_class(HOOKS.methods_by_name[hook_name].input_type)(**fields)


def test_hook_names_are_the_contracts() -> None:
    assert sorted(HookName.__members__) == sorted(ALL_HOOKS)
    assert all(name.value == key for key, name in HookName.__members__.items())


def test_every_form_of_the_decorator() -> None:
    class Example(Plugin):
        @hook(HookName.OnActivate)
        def a(self) -> None: ...

        @hook("OnDeactivate")
        def b(self) -> None: ...

        @hook
        def OnConfigurationChange(self) -> None: ...

        @hook()
        def OnSendDailyTelemetry(self) -> None: ...

        @hook(HookName.MessageHasBeenPosted)
        async def c(self, ctx: Any, post: Any) -> None: ...

        @hook(HookName.UserHasLoggedIn)
        def d(self, *args: Any) -> None: ...

    assert Example.implemented_hooks() == [
        "MessageHasBeenPosted",
        "OnActivate",
        "OnConfigurationChange",
        "OnDeactivate",
        "OnSendDailyTelemetry",
        "UserHasLoggedIn",
    ]
    assert Example.has_hook("OnActivate") and not Example.has_hook("ServeHTTP")
    assert Example().get_hook_handler("OnActivate") is not None
    assert Example().get_hook_handler("ServeHTTP") is None


def test_inherited_handlers_count_and_a_second_one_does_not() -> None:
    class Base(Plugin):
        @hook(HookName.OnActivate)
        def activate(self) -> None: ...

    class Derived(Base):
        @hook(HookName.OnDeactivate)
        def deactivate(self) -> None: ...

    assert Derived.implemented_hooks() == ["OnActivate", "OnDeactivate"]
    with pytest.raises(
        HookRegistrationError, match=r"activate and .*again both handle OnActivate|again and .*activate"
    ):

        class Twice(Base):
            @hook(HookName.OnActivate)
            def again(self) -> None: ...


@pytest.mark.parametrize(
    ("decorate", "message"),
    [
        (lambda: hook("OnActive")(lambda self: None), "no hook 'OnActive'.*HookName.OnActivate"),
        (lambda: hook("MessageWillBePosted")(lambda self, post: None), r"must take \(self, plugin_context, post\)"),
        (lambda: hook("OnActivate")(lambda self, ctx: None), r"must take \(self\)"),
        (lambda: hook("ServeHTTP")(lambda self, ctx, w: None), r"plugin_context, response_writer, request"),
    ],
)
def test_a_wrong_handler_fails_when_it_is_made(decorate: Any, message: str) -> None:
    with pytest.raises(HookRegistrationError, match=message):
        decorate()


def test_a_handler_with_an_underscore_fails_when_it_is_made() -> None:
    with pytest.raises(HookRegistrationError, match="rename it"):

        class Hidden(Plugin):
            @hook(HookName.OnActivate)
            def _activate(self) -> None: ...


ARGUMENTS = {
    "OnActivate": [],
    "OnInstall": ["plugin_context", "event"],
    "RunDataRetention": ["now_time", "batch_size"],
    "ConfigurationWillBeSaved": ["new_config"],
    "MessageWillBePosted": ["plugin_context", "post"],
    "MessageWillBeUpdated": ["plugin_context", "new_post", "old_post"],
    "MessagesWillBeConsumed": ["posts"],
    "FileWillBeUploaded": ["plugin_context", "file_info", "file_content"],
    "NotificationWillBePushed": ["push_notification", "user_id"],
    "PreferencesHaveChanged": ["plugin_context", "preferences"],
    "UserHasJoinedChannel": ["plugin_context", "channel_member", "actor"],
    "ExecuteCommand": ["plugin_context", "args"],
    "OnWebSocketConnect": ["web_conn_id", "user_id"],
    "OnSharedChannelsSyncMsg": ["sync_msg", "remote_cluster"],
    "OnSharedChannelsAttachmentSyncMsg": ["file_info", "post", "remote_cluster"],
    "GenerateSupportData": ["plugin_context"],
}


@pytest.mark.parametrize(("name", "expected"), ARGUMENTS.items())
def test_handlers_get_the_fields_of_the_request(name: str, expected: list[str]) -> None:
    assert handler_arguments(HOOKS.methods_by_name[name]) == expected


def test_argument_values() -> None:
    method = HOOKS.methods_by_name["UserHasJoinedChannel"]
    context, member, actor = arguments(method, request("UserHasJoinedChannel"))
    assert (context.session_id, member.user_id) == ("", ""), "messages are there even when they are empty"
    assert actor is None, "nobody but the user did it"
    _, _, actor = arguments(method, request("UserHasJoinedChannel", actor=User(id="u")))
    assert actor.id == "u"
    (posts,) = arguments(
        HOOKS.methods_by_name["MessagesWillBeConsumed"], request("MessagesWillBeConsumed", posts=[Post(id="1")])
    )
    assert isinstance(posts, list) and posts[0].id == "1"


RESULTS: list[tuple[str, Any, dict[str, Any]]] = [
    ("MessageHasBeenPosted", "whatever", {}),
    ("OnActivate", None, {}),
    ("OnActivate", "no license", {"error.id": "plugin.on_activate.error", "error.message": "no license"}),
    ("OnActivate", ValueError("no"), {"error.message": "no", "error.status_code": 500, "error.where": "OnActivate"}),
    ("OnInstall", "", {"error.id": ""}),
    ("MessageWillBePosted", None, {"modified_post.id": "", "rejection_reason": ""}),
    ("MessageWillBePosted", Post(id="1"), {"modified_post.id": "1", "rejection_reason": ""}),
    ("MessageWillBePosted", (Post(id="1"), ""), {"modified_post.id": "1", "rejection_reason": ""}),
    ("MessageWillBePosted", (None, "no"), {"modified_post.id": "", "rejection_reason": "no"}),
    ("MessageWillBePosted", "no", {"rejection_reason": "no"}),
    ("MessageWillBePosted", {"id": "1"}, {"modified_post.id": "1"}),
    ("FileWillBeUploaded", (FileInfo(id="f"), b"new", ""), {"modified_file_info.id": "f", "modified_content": b"new"}),
    ("FileWillBeUploaded", (None, "no"), {"rejection_reason": "no", "modified_content": b""}),
    ("FileWillBeUploaded", "no", {"rejection_reason": "no"}),
    ("NotificationWillBePushed", (None, "no"), {"rejection_reason": "no"}),
    ("EmailNotificationWillBeSent", EmailNotificationContent(subject="s"), {"modified_content.subject": "s"}),
    ("UserWillLogIn", "no", {"rejection_reason": "no"}),
    ("UserWillLogIn", None, {"rejection_reason": ""}),
    ("ExecuteCommand", {"text": "hi", "unknown": 1}, {"response.text": "hi"}),
    ("ExecuteCommand", CommandResponse(text="hi"), {"response.text": "hi", "error.id": ""}),
    ("ConfigurationWillBeSaved", (None, "no"), {"error.id": "plugin.configuration_will_be_saved.rejected"}),
    ("RunDataRetention", 5, {"deleted_count": 5}),
    ("RunDataRetention", None, {"deleted_count": 0}),
    ("RunDataRetention", (5, "partly"), {"deleted_count": 5, "error.message": "partly"}),
    ("OnSharedChannelsPing", None, {"healthy": True}),
    ("OnSharedChannelsPing", False, {"healthy": False}),
    ("OnSAMLLogin", "no", {"error.message": "no"}),
]


@pytest.mark.parametrize(("name", "result", "expected"), RESULTS)
def test_results(name: str, result: Any, expected: dict[str, Any]) -> None:
    response = response_of(name, request(name), result)
    for path, value in expected.items():
        found = response
        for part in path.split("."):
            found = getattr(found, part)
        assert found == value, path


def test_lists() -> None:
    posts = [Post(id="1"), Post(id="2")]
    asked = request("MessagesWillBeConsumed", posts=posts)
    consumed: Any = response_of("MessagesWillBeConsumed", asked, [posts[1]])
    assert [post.id for post in consumed.posts] == ["2"]
    unchanged: Any = response_of("MessagesWillBeConsumed", asked, None)
    assert [post.id for post in unchanged.posts] == ["1", "2"]
    support: Any = response_of("GenerateSupportData", request("GenerateSupportData"), ([FileData(filename="f")], "x"))
    assert (support.files[0].filename, support.error.message) == ("f", "x")


@pytest.mark.parametrize(
    ("name", "result", "accepted"),
    [
        ("MessageWillBePosted", 42, "a Post, a str with the reason of a rejection"),
        ("MessageWillBePosted", User(id="u"), "a Post"),
        ("MessageWillBePosted", {"massage": "typo"}, "a Post"),
        ("MessagesWillBeConsumed", "posts", "a list of Post"),
        ("RunDataRetention", Post(), "a deleted_count"),
        ("ExecuteCommand", 42, "a CommandResponse"),
    ],
)
def test_wrong_results_fail_and_tell_what_would_do(name: str, result: Any, accepted: str) -> None:
    with pytest.raises(HookResultError, match=accepted):
        response_of(name, request(name), result)


@pytest.mark.parametrize("name", [name for name in ALL_HOOKS if name != "ServeHTTP"])
def test_no_handler_means_no_opinion(name: str) -> None:
    response: Any = no_handler(name, request(name))
    assert getattr(response, "rejection_reason", "") == ""
    error = getattr(response, "error", None)
    expected = "plugin.execute_command.not_implemented" if name == "ExecuteCommand" else ""
    assert error is None or error.id == expected
