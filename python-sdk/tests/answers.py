"""What handlers may return, and what of the contract each result answers: for every hook that hears its handler."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import mattermost_plugin
from effect_plugin._descriptors import message_class
from mattermost_plugin import DISMISS_POST_ERROR
from mattermost_plugin.models import Model
from mattermost_plugin.types import (
    AppError,
    CommandResponse,
    ConfigJson,
    EmailNotificationContent,
    FileData,
    FileInfo,
    Json,
    Post,
    PushNotification,
    SyncResponse,
)

from .wire import HOOKS


def response(hook: str, **fields: Any) -> Any:
    return message_class(HOOKS.methods_by_name[hook].output_type)(**mapped(wire, fields))


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """A value with `change` made of each model in it."""
    if isinstance(value, dict):
        return {key: mapped(change, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(change, item) for item in value)
    return change(value) if isinstance(value, Model) else value


def wire(model: Model) -> Any:
    """As protobuf has it."""
    return model.to_proto()


def other_stubs(model: Model) -> Any:
    """As the stubs have it that a plugin brings along."""
    full_name = model.DESCRIPTOR.full_name
    return message_factory.GetMessageClass(OTHER_POOL.FindMessageTypeByName(full_name)).FromString(
        model.to_proto().SerializeToString()
    )


def pool_of_other_stubs() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    described = Path(mattermost_plugin.__file__).parent / "_generated" / "descriptors.binpb"
    for file in descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


OTHER_POOL = pool_of_other_stubs()


def as_it_is(model: Model) -> Any:
    """The model itself."""
    return model


#: Every form in which a handler may return what the contract has a type for.
FORMS: list[Callable[[Model], Any]] = [as_it_is, wire, other_stubs]


def error(hook: str, identifier: str, message: str) -> dict[str, Any]:
    return {"error": AppError(id=f"plugin.{identifier}", message=message, status_code=500, where=hook)}


def failures(hook: str, identifier: str) -> list[tuple[Any, dict[str, Any]]]:
    """Of a hook that can only fail or not. What says neither is passed over, as the published SDK does."""
    return [
        (None, {}),
        ("", {}),
        ("no", error(hook, f"{identifier}.error", "no")),
        (ValueError("no"), error(hook, f"{identifier}.error", "no")),
        (ValueError(), error(hook, f"{identifier}.error", "ValueError")),
        (True, {}),
        (False, {}),
        (42, {}),
        ((1, 2), {}),
    ]


def rejections(field: str, whole: Any, fields: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Of a hook that may change something, or reject it."""
    changed = {field: whole}
    return [
        (None, {}),
        (whole, changed),
        (fields, changed),
        ((whole, ""), changed),
        ((whole, None), changed),
        ((fields, ""), changed),
        ((None, ""), {}),
        ((None, None), {}),
        ((None, "no"), {"rejection_reason": "no"}),
        ((whole, "no"), {**changed, "rejection_reason": "no"}),
        ("no", {"rejection_reason": "no"}),
        ("", {}),
        (ValueError("no"), {"rejection_reason": "no"}),
        (ValueError(), {"rejection_reason": "ValueError"}),
        ((None, KeyError()), {"rejection_reason": "KeyError"}),
    ]


POSTS = [Post(id="1"), Post(id="2")]

#: Hooks that can only fail or not.
ONLY_FAILURES = {
    "OnActivate",
    "OnDeactivate",
    "OnConfigurationChange",
    "OnInstall",
    "OnSAMLLogin",
    "OnSharedChannelsAttachmentSyncMsg",
    "OnSharedChannelsProfileImageSyncMsg",
}

#: By hook, a handler's results and the fields of the response that each answers.
ANSWERS: dict[str, list[tuple[Any, dict[str, Any]]]] = {
    "OnActivate": failures("OnActivate", "on_activate"),
    "OnDeactivate": failures("OnDeactivate", "on_deactivate"),
    "OnConfigurationChange": failures("OnConfigurationChange", "on_configuration_change"),
    "OnInstall": failures("OnInstall", "on_install"),
    "OnSAMLLogin": failures("OnSAMLLogin", "on_saml_login"),
    "OnSharedChannelsAttachmentSyncMsg": failures(
        "OnSharedChannelsAttachmentSyncMsg", "on_shared_channels_attachment_sync_msg"
    ),
    "OnSharedChannelsProfileImageSyncMsg": failures(
        "OnSharedChannelsProfileImageSyncMsg", "on_shared_channels_profile_image_sync_msg"
    ),
    "RunDataRetention": [
        (None, {}),
        (0, {}),
        (5, {"deleted_count": 5}),
        ((5, ""), {"deleted_count": 5}),
        ((5, None), {"deleted_count": 5}),
        (
            (5, "partly"),
            {"deleted_count": 5, **error("RunDataRetention", "run_data_retention.rejected", "partly")},
        ),
    ],
    "ConfigurationWillBeSaved": [
        (None, {}),
        (ConfigJson(config_json=Json(b"{}")), {"modified_config": ConfigJson(config_json=Json(b"{}"))}),
        ({"config_json": b"{}"}, {"modified_config": ConfigJson(config_json=Json(b"{}"))}),
        ((ConfigJson(config_json=Json(b"{}")), None), {"modified_config": ConfigJson(config_json=Json(b"{}"))}),
        ((None, "no"), error("ConfigurationWillBeSaved", "configuration_will_be_saved.rejected", "no")),
        ((None, ValueError("no")), error("ConfigurationWillBeSaved", "configuration_will_be_saved.rejected", "no")),
        ("no", error("ConfigurationWillBeSaved", "configuration_will_be_saved.rejected", "no")),
    ],
    "MessageWillBePosted": [
        *rejections("modified_post", Post(id="1"), {"id": "1"}),
        ((None, DISMISS_POST_ERROR), {"rejection_reason": "plugin.message_will_be_posted.dismiss_post"}),
    ],
    "MessageWillBeUpdated": rejections("modified_post", Post(id="1"), {"id": "1"}),
    "MessagesWillBeConsumed": [
        (None, {"posts": POSTS}),
        (POSTS[1:], {"posts": POSTS[1:]}),
        (tuple(POSTS), {"posts": POSTS}),
        ({post.id: post for post in POSTS}.values(), {"posts": POSTS}),
        ([], {}),
    ],
    "FileWillBeUploaded": [
        (None, {}),
        (FileInfo(id="f"), {"modified_file_info": FileInfo(id="f")}),
        ({"id": "f"}, {"modified_file_info": FileInfo(id="f")}),
        ((FileInfo(id="f"), ""), {"modified_file_info": FileInfo(id="f")}),
        ((FileInfo(id="f"), b"new", ""), {"modified_file_info": FileInfo(id="f"), "modified_content": b"new"}),
        ((None, b"new", None), {"modified_content": b"new"}),
        ((None, "no"), {"rejection_reason": "no"}),
        ((None, None, "no"), {"rejection_reason": "no"}),
        ("no", {"rejection_reason": "no"}),
    ],
    "NotificationWillBePushed": rejections("modified_notification", PushNotification(message="m"), {"message": "m"}),
    "EmailNotificationWillBeSent": rejections(
        "modified_content", EmailNotificationContent(subject="s"), {"subject": "s"}
    ),
    "UserWillLogIn": [
        (None, {}),
        ("", {}),
        ("no", {"rejection_reason": "no"}),
        (ValueError("no"), {"rejection_reason": "no"}),
        (ValueError(), {"rejection_reason": "ValueError"}),
    ],
    "ExecuteCommand": [
        (None, {}),
        (CommandResponse(text="hi"), {"response": CommandResponse(text="hi")}),
        (
            {"text": "hi", "response_type": "ephemeral", "attachmentz": [1], "goto_location": None},
            {"response": CommandResponse(text="hi", response_type="ephemeral")},
        ),
        ((CommandResponse(text="hi"), None), {"response": CommandResponse(text="hi")}),
        ((None, "no"), error("ExecuteCommand", "execute_command.rejected", "no")),
    ],
    "OnSharedChannelsSyncMsg": [
        (None, {}),
        (SyncResponse(users_last_update_at=7), {"response": SyncResponse(users_last_update_at=7)}),
        ((SyncResponse(users_last_update_at=7), ""), {"response": SyncResponse(users_last_update_at=7)}),
        ((None, "no"), error("OnSharedChannelsSyncMsg", "on_shared_channels_sync_msg.rejected", "no")),
    ],
    "OnSharedChannelsPing": [(None, {"healthy": True}), (True, {"healthy": True}), (False, {})],
    "GenerateSupportData": [
        (None, {}),
        ([], {}),
        ([FileData(filename="f")], {"files": [FileData(filename="f")]}),
        (([FileData(filename="f")], None), {"files": [FileData(filename="f")]}),
        (
            ([FileData(filename="f")], "some are missing"),
            {
                "files": [FileData(filename="f")],
                **error("GenerateSupportData", "generate_support_data.rejected", "some are missing"),
            },
        ),
    ],
}
