"""The models: a dataclass for every message that is no request or response."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .contract import Contract, snake_case

#: Fields that come first in the published SDK's types, where the contract has another order.
FIRST_FIELDS = {
    "Channel": "id team_id display_name name create_at update_at delete_at type",
    "Post": "id channel_id user_id message create_at update_at edit_at delete_at is_pinned root_id",
    "PostList": "order posts next_post_id prev_post_id has_next",
    "PushNotification": "ack_id platform server_id device_id post_id category sound message badge team_id channel_id "
    "root_id sender_id sender_name channel_name type",
    "Session": "id token create_at expires_at last_activity_at user_id device_id roles is_oauth expired_notify props "
    "local",
    "Team": "id display_name name",
    "User": "id username email create_at update_at delete_at email_verified nickname first_name last_name position "
    "roles locale timezone is_bot bot_description auth_data auth_service props notify_props last_password_update "
    "last_picture_update failed_attempts mfa_active remote_id last_activity_at bot_last_icon_update "
    "terms_of_service_id terms_of_service_create_at disable_welcome_email last_login",
}

#: Defaults of the published SDK's types that are not protobuf's.
FIELD_DEFAULTS = {
    ("BotGetOptions", "per_page"): "60",
    ("Channel", "type"): "ChannelType.OPEN",
    ("Command", "method"): '"P"',
    ("Team", "type"): "TeamType.OPEN",
    ("UploadSession", "type"): '"attachment"',
    ("UserAccessToken", "is_active"): "True",
}

#: Names that the published SDK's types have.
ALIASES = {"UserStatus": "Status"}

MODELS_HEAD = '''"""The types of the contract. Generated: see generate.py."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from ..models import ContractEnum, Json, Model, contract_enum, model
'''


def model_fields(contract: Contract, name: str) -> Iterator[tuple[str, str, str, str]]:
    """A model's fields in their order: name, type, default and comment."""
    message = contract.models[name]
    fields = {snake_case(field.name): field for field in message.field}
    first = FIRST_FIELDS.get(name, "").split()
    for attribute in [*first, *(field for field in fields if field not in first)]:
        field = fields[attribute]
        annotation, default = contract.annotation(field, message)
        comment = contract.comments[f"{name}.{field.name}"]
        yield attribute, annotation, FIELD_DEFAULTS.get((name, attribute), default), comment


def enum_values(name: str, enum: Any) -> Iterator[tuple[str, str]]:
    """An enum's members, with the letters that are their values."""
    prefix = snake_case(name).upper() + "_"
    for value in enum.value:
        member = value.name.removeprefix(prefix)
        # Mattermost's own letters are the first ones of these names.
        yield member, "" if value.number == 0 else member[0]


def models_source(contract: Contract) -> str:
    out = [MODELS_HEAD]
    names = [*contract.enums, *contract.models, *ALIASES]
    for name, enum in contract.enums.items():
        out.append(f'\n\n@contract_enum\nclass {name}(ContractEnum):\n    """{contract.comments[name]}"""\n')
        out += [f'    {member} = "{letter}"' for member, letter in enum_values(name, enum)]
    for name in contract.models:
        out.append(f'\n\n@model\nclass {name}(Model):\n    """{contract.comments[name] or name + "."}"""\n')
        for attribute, annotation, default, comment in model_fields(contract, name):
            if comment:
                out.append(f"    #: {comment}")
            out.append(f"    {attribute}: {annotation} = {default}")
    out += [f"\n\n{alias} = {name}" for alias, name in ALIASES.items()]
    out.append(f"\n__all__ = {sorted(names)!r}")
    return "\n".join(out) + "\n"
