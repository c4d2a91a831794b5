"""For every hook of the contract: what its handler is given, and what each result of it answers."""

from __future__ import annotations

import copy
import dataclasses
import os
import re
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from effect_plugin._descriptors import message_class
from effect_plugin._dispatch import HookResultError
from effect_plugin._fields import is_repeated
from effect_plugin._limits import MESSAGE_LIMIT
from mattermost_plugin.types import (
    FileData,
    FileInfo,
    Post,
    User,
)

from .answers import ANSWERS, FORMS, ONLY_FAILURES, POSTS, error, mapped, response, wire
from .wire import HOOKS, arguments, handler_arguments, no_handler, response_of

UNARY = [method.name for method in HOOKS.methods if method.name not in ("Implemented", "ServeHTTP")]
NOTIFICATIONS = [name for name in UNARY if not HOOKS.methods_by_name[name].output_type.fields]

#: A handler's arguments, as the published SDK hands them over.
ARGUMENTS: dict[str, list[str]] = {
    "OnActivate": [],
    "OnDeactivate": [],
    "OnConfigurationChange": [],
    "OnInstall": ["plugin_context", "event"],
    "OnSendDailyTelemetry": [],
    "RunDataRetention": ["now_time", "batch_size"],
    "OnCloudLimitsUpdated": ["limits"],
    "ConfigurationWillBeSaved": ["new_config"],
    "MessageWillBePosted": ["plugin_context", "post"],
    "MessageWillBeUpdated": ["plugin_context", "new_post", "old_post"],
    "MessageHasBeenPosted": ["plugin_context", "post"],
    "MessageHasBeenUpdated": ["plugin_context", "new_post", "old_post"],
    "MessagesWillBeConsumed": ["posts"],
    "MessageHasBeenDeleted": ["plugin_context", "post"],
    "FileWillBeUploaded": ["plugin_context", "file_info", "file_content"],
    "ReactionHasBeenAdded": ["plugin_context", "reaction"],
    "ReactionHasBeenRemoved": ["plugin_context", "reaction"],
    "NotificationWillBePushed": ["push_notification", "user_id"],
    "EmailNotificationWillBeSent": ["email_notification"],
    "PreferencesHaveChanged": ["plugin_context", "preferences"],
    "UserHasBeenCreated": ["plugin_context", "user"],
    "UserWillLogIn": ["plugin_context", "user"],
    "UserHasLoggedIn": ["plugin_context", "user"],
    "UserHasBeenDeactivated": ["plugin_context", "user"],
    "OnSAMLLogin": ["plugin_context", "user", "assertion"],
    "ChannelHasBeenCreated": ["plugin_context", "channel"],
    "UserHasJoinedChannel": ["plugin_context", "channel_member", "actor"],
    "UserHasLeftChannel": ["plugin_context", "channel_member", "actor"],
    "UserHasJoinedTeam": ["plugin_context", "team_member", "actor"],
    "UserHasLeftTeam": ["plugin_context", "team_member", "actor"],
    "ExecuteCommand": ["plugin_context", "args"],
    "OnWebSocketConnect": ["web_conn_id", "user_id"],
    "OnWebSocketDisconnect": ["web_conn_id", "user_id"],
    "WebSocketMessageHasBeenPosted": ["web_conn_id", "user_id", "request"],
    "OnPluginClusterEvent": ["plugin_context", "event"],
    "OnSharedChannelsSyncMsg": ["sync_msg", "remote_cluster"],
    "OnSharedChannelsPing": ["remote_cluster"],
    "OnSharedChannelsAttachmentSyncMsg": ["file_info", "post", "remote_cluster"],
    "OnSharedChannelsProfileImageSyncMsg": ["user", "remote_cluster"],
    "GenerateSupportData": ["plugin_context"],
}


def request(hook: str, **fields: Any) -> Any:
    return message_class(HOOKS.methods_by_name[hook].input_type)(**mapped(wire, fields))


def filled(field: FieldDescriptor, number: int) -> Any:
    """A value for a field that no other field has."""
    of = field.message_type
    if of is not None:
        return (
            [filled_message(of, number), filled_message(of, number + 1)]
            if is_repeated(field)
            else filled_message(of, number)
        )
    return {str: f"{field.name}{number}", bytes: b"%d" % number, int: number}[type(field.default_value)]


def filled_message(of: Descriptor, number: int) -> Any:
    first = of.fields[0]
    return message_class(of)(**{first.name: filled(first, number)})


def test_the_tables_are_about_every_hook() -> None:
    assert list(ARGUMENTS) == UNARY
    assert sorted([*ANSWERS, *NOTIFICATIONS]) == sorted(UNARY)
    assert sorted(ACCEPTED) == sorted(set(ANSWERS) - ONLY_FAILURES)


@pytest.mark.parametrize("hook", UNARY)
def test_arguments(hook: str) -> None:
    method = HOOKS.methods_by_name[hook]
    values = {field.name: filled(field, 10 * number) for number, field in enumerate(method.input_type.fields, 1)}
    assert handler_arguments(method) == ARGUMENTS[hook]
    assert arguments(method, request(hook, **values)) == [values[name] for name in ARGUMENTS[hook]]


@pytest.mark.parametrize("hook", UNARY)
def test_arguments_that_the_host_left_out(hook: str) -> None:
    method = HOOKS.methods_by_name[hook]
    for name, value in zip(ARGUMENTS[hook], arguments(method, request(hook))):
        if name == "actor":
            assert value is None, "nobody but the user did it"
        else:
            assert value is not None, f"{name} is there, be it empty"


def test_arguments_may_be_changed() -> None:
    method = HOOKS.methods_by_name["MessagesWillBeConsumed"]
    asked = request("MessagesWillBeConsumed", posts=[Post(id="1"), Post(id="2")])
    (posts,) = arguments(method, asked)
    posts.pop()
    posts[0].message = "changed"
    assert response_of("MessagesWillBeConsumed", asked, posts) == response(
        "MessagesWillBeConsumed", posts=[Post(id="1", message="changed")]
    )


@pytest.mark.parametrize(
    ("hook", "result", "fields"), [(hook, *answer) for hook, answers in ANSWERS.items() for answer in answers]
)
def test_results(hook: str, result: Any, fields: dict[str, Any]) -> None:
    asked = request(hook, posts=POSTS) if hook == "MessagesWillBeConsumed" else request(hook)
    for form in FORMS:
        assert response_of(hook, asked, mapped(form, result)) == response(hook, **fields)


@pytest.mark.parametrize("hook", NOTIFICATIONS)
def test_nobody_hears_what_the_handler_of_a_notification_returns(hook: str) -> None:
    for result in (None, "text", 42, object(), (1, 2), ValueError("no")):
        assert response_of(hook, request(hook), result).ByteSize() == 0


#: By hook, what an error about a wrong result says that it takes.
ACCEPTED: dict[str, str] = {
    "RunDataRetention": "None, int (deleted_count), a str with the reason of a rejection, a tuple (int, reason)",
    "ConfigurationWillBeSaved": "None, a ConfigJson or a dict of its fields, a str with the reason of a rejection, "
    "a tuple (ConfigJson, reason)",
    "MessageWillBePosted": "None, a Post or a dict of its fields, a str with the reason of a rejection, "
    "a tuple (Post, reason)",
    "MessageWillBeUpdated": "None, a Post or a dict of its fields, a str with the reason of a rejection, "
    "a tuple (Post, reason)",
    "MessagesWillBeConsumed": "None, a list of Post",
    "FileWillBeUploaded": "None, a FileInfo or a dict of its fields, a str with the reason of a rejection, "
    "a tuple (FileInfo, bytes, reason)",
    "NotificationWillBePushed": "None, a PushNotification or a dict of its fields, a str with the reason of a "
    "rejection, a tuple (PushNotification, reason)",
    "EmailNotificationWillBeSent": "None, a EmailNotificationContent or a dict of its fields, a str with the reason "
    "of a rejection, a tuple (EmailNotificationContent, reason)",
    "UserWillLogIn": "None, a str with the reason of a rejection",
    "ExecuteCommand": "None, a CommandResponse or a dict of its fields, a str with the reason of a rejection, "
    "a tuple (CommandResponse, reason)",
    "OnSharedChannelsSyncMsg": "None, a SyncResponse or a dict of its fields, a str with the reason of a rejection, "
    "a tuple (SyncResponse, reason)",
    "OnSharedChannelsPing": "None, bool (healthy)",
    "GenerateSupportData": "None, a list of FileData, a str with the reason of a rejection, "
    "a tuple (list of FileData, reason)",
}


@pytest.mark.parametrize("hook", ACCEPTED)
def test_a_wrong_result_is_told_what_would_do(hook: str) -> None:
    with pytest.raises(HookResultError) as caught:
        response_of(hook, request(hook), object())
    told = re.sub(r" \(.*\);", ";", str(caught.value), count=1)
    assert told == f"can't answer a object; it takes {ACCEPTED[hook]}"


def test_a_wrong_result_is_told_what_is_wrong_with_it() -> None:
    with pytest.raises(HookResultError, match=r"answer a dict \(Post has no field 'massage'; it has id, .*\); it"):
        response_of("MessageWillBePosted", request("MessageWillBePosted"), {"massage": "a typo"})


@pytest.mark.parametrize(
    ("hook", "result"),
    [
        ("MessageWillBePosted", 42),
        ("MessageWillBePosted", b"bytes"),
        ("MessageWillBePosted", [Post()]),
        ("MessageWillBePosted", User(id="u")),
        ("MessageWillBePosted", {"massage": "a typo"}),
        ("MessageWillBePosted", {"id": 42}),
        ("MessageWillBePosted", ()),
        ("MessageWillBePosted", (Post(),)),
        ("MessageWillBePosted", (Post(), Post(), "")),
        ("MessageWillBePosted", (None, 42)),
        ("MessageWillBePosted", (Post(), False)),
        ("MessagesWillBeConsumed", "posts"),
        ("MessagesWillBeConsumed", Post()),
        ("MessagesWillBeConsumed", [Post(), User()]),
        ("FileWillBeUploaded", b"content"),
        ("FileWillBeUploaded", (FileInfo(), "a text", "")),
        ("UserWillLogIn", True),
        ("UserWillLogIn", False),
        ("UserWillLogIn", (None, "")),
        ("RunDataRetention", Post()),
        ("RunDataRetention", 2**70),
        ("OnSharedChannelsPing", (True, "")),
        ("GenerateSupportData", FileData()),
        ("GenerateSupportData", (FileData(), FileData())),
        ("ExecuteCommand", 42),
        ("ExecuteCommand", {"text": 42}),
    ],
)
def test_wrong_results(hook: str, result: Any) -> None:
    with pytest.raises(HookResultError, match=r"^can't answer a .*; it takes None"):
        response_of(hook, request(hook), result)


class Silent(Exception):
    """Can't say what it is about."""

    def __str__(self) -> str:
        raise RuntimeError("not even this")


class Loud(str):
    """A text that lies about itself."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        raise RuntimeError("no")


REFUSALS: list[tuple[Any, str]] = [
    ("no: \udcff.txt", "no: \ufffd.txt"),
    ("\ud83d\ude00", "\U0001f600"),
    (ValueError("\udcff"), "\ufffd"),
    (os.fsdecode(b"\xff\xfe"), "\ufffd\ufffd"),
    (Silent(), "Silent"),
    (Loud("no"), "no"),
    ("x" * 100_000_000, "x" * (16 * 1024 - 1) + "…"),
    ("no\0", "no\0"),
]


@pytest.mark.parametrize(
    "hook", [hook for hook in ACCEPTED if hook not in ("MessagesWillBeConsumed", "OnSharedChannelsPing")]
)
def test_a_refusal_arrives_whatever_it_says(hook: str) -> None:
    for refusal, said in REFUSALS:
        response = response_of(hook, request(hook), refusal)
        told = response.rejection_reason if "rejection_reason" in response.DESCRIPTOR.fields_by_name else response.error
        if hook == "ExecuteCommand" and isinstance(refusal, str):
            # Whoever has typed a command is to read the text.
            assert not response.error.id
            told = response.response.text
        assert said in (told, getattr(told, "message", "")), hook
        response.SerializeToString()


@pytest.mark.parametrize(
    ("hook", "result"),
    [
        ("MessageWillBePosted", ({"massage": "a typo"}, "no")),
        ("MessageWillBePosted", (Post(create_at=2**60), "no")),
        ("MessageWillBePosted", (Post(props={"a": float("nan")}), "no")),
        ("MessageWillBePosted", (Post(message="\udcff"), "no")),
        ("MessageWillBePosted", (Post(message="x" * MESSAGE_LIMIT), "no")),
        ("MessageWillBePosted", (42, ValueError("no"))),
        ("MessageWillBePosted", (Post(), Post(), "no")),
        ("UserWillLogIn", (None, "no")),
        ("FileWillBeUploaded", (FileInfo(id="f"), "a text", "no")),
    ],
)
def test_a_refusal_arrives_whatever_stands_beside_it(hook: str, result: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert response_of(hook, request(hook), result).rejection_reason == "no"
    assert f"{hook} can't" in caplog.text


@pytest.mark.parametrize(
    ("post", "why"),
    [
        (Post(create_at=2**60), "modified_post.create_at is 1152921504606846976, more than"),
        (Post(props={"a": float("inf")}), "modified_post.props.a is inf"),
        (Post(message="x" * MESSAGE_LIMIT), "a message has at most"),
        (Post(message="\udcff"), "can't answer a Post .*utf-8"),
    ],
)
def test_what_the_host_could_not_keep_is_no_answer(post: Post, why: str) -> None:
    with pytest.raises(HookResultError, match=why):
        response_of("MessageWillBePosted", request("MessageWillBePosted"), post)


@pytest.mark.parametrize("hook", UNARY)
def test_no_handler_means_no_opinion(hook: str) -> None:
    fields: dict[str, Any] = {}
    asked = request(hook)
    if hook == "MessagesWillBeConsumed":
        asked, fields = request(hook, posts=POSTS), {"posts": POSTS}
    elif hook == "OnSharedChannelsPing":
        fields = {"healthy": True}
    elif hook == "ExecuteCommand":
        fields = error(hook, "execute_command.not_implemented", "the plugin has no slash commands")
        fields["error"].status_code = 501
    assert no_handler(hook, asked) == response(hook, **fields)


def test_slack_s_attachments_are_dropped_from_a_command_s_answer_as_in_the_published_sdk() -> None:
    answer = {"text": "hi", "props": {"a": {"b": 1}}, "attachments": [{"title": "t"}], "unknown": 1}
    response = response_of("ExecuteCommand", request("ExecuteCommand"), answer).response
    assert (response.text, response.props["a"]["b"], len(response.attachments)) == ("hi", 1, 0)
    more = {"text": "hi", "attachments": [{"text": "more", "title": "t"}]}
    (attached,) = response_of("ExecuteCommand", request("ExecuteCommand"), more).response.attachments
    assert attached.text == "more"


def test_a_dict_changes_its_fields_and_leaves_the_others() -> None:
    post = Post(id="p", channel_id="c", message="old", props={"a": 1}, file_ids=["f"])
    changed = response_of("MessageWillBePosted", request("MessageWillBePosted", post=post), {"message": "new"})
    assert Post.from_proto(changed.modified_post) == dataclasses.replace(post, message="new")
    asked = request("MessageWillBeUpdated", new_post=post, old_post=Post(message="older"))
    updated = response_of("MessageWillBeUpdated", asked, ({"message": "newer"}, ""))
    assert (updated.modified_post.message, updated.modified_post.channel_id) == ("newer", "c")


def test_what_a_newer_host_says_of_a_post_stays_in_it() -> None:
    # Field 1000 of the post is a text that this contract does not know.
    more = Post(id="p", message="old").to_proto().SerializeToString() + b"\xc2\x3e\x03new"
    post = message_class(Post.DESCRIPTOR).FromString(more)
    asked = request("MessageWillBePosted", post=post)
    (_, given) = arguments(HOOKS.methods_by_name["MessageWillBePosted"], asked)
    for result in (
        dataclasses.replace(given, message="new"),
        (dataclasses.replace(dataclasses.replace(given), message="new"), ""),
        {"message": "new"},
        ({"message": "new"}, ""),
        getattr(copy, "replace", dataclasses.replace)(given, message="new"),
    ):
        answered = response_of("MessageWillBePosted", asked, result).modified_post
        assert answered.message == "new"
        assert b"\xc2\x3e\x03new" in answered.SerializeToString()
    fields = [getattr(given, field.name) for field in dataclasses.fields(given)]
    whole = response_of("MessageWillBePosted", asked, (tuple(fields), "")).modified_post
    assert whole == post
