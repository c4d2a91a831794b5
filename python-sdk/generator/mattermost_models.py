"""Mattermost's types: where the published SDK has other names, orders and defaults than the contract."""

from __future__ import annotations

from collections.abc import Iterator

from effect_plugin._generator.described import documented
from effect_plugin._generator.models import ModelsSource
from effect_plugin._generator.names import snake_case

from .contract import MattermostContract

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

#: Messages whose unset ones are None when they are read, as in the published SDK's own types.
NONE_WHEN_UNSET = {"OpenDialogRequest", "TeamMemberWithError"}


def enum_letters(contract: MattermostContract, name: str) -> Iterator[tuple[str, str]]:
    """An enum's members, with the letters that are their values."""
    prefix = snake_case(name).upper() + "_"
    for value in contract.enums[name].value:
        member = value.name.removeprefix(prefix)
        # Mattermost's own letters are the first ones of these names.
        yield member, "" if value.number == 0 else member[0]


class MattermostModels(ModelsSource):
    """Writes the types."""

    contract: MattermostContract
    made_by = "Generated: see generate.py."
    aliases = ALIASES
    own_imports = (
        "from .._descriptors import DESCRIPTORS\nfrom ..models import ContractEnum, Json, Model, letters, model\n"
    )

    def fields(self, name: str) -> Iterator[tuple[str, str, str, str]]:
        """A model's fields in their order: name, type, default and comment."""
        described = {field[0]: field for field in super().fields(name)}
        first = FIRST_FIELDS.get(name, "").split()
        for attribute in [*first, *(field for field in described if field not in first)]:
            _, annotation, default, comment = described[attribute]
            yield attribute, annotation, FIELD_DEFAULTS.get((name, attribute), default), comment

    def enum(self, name: str) -> str:
        """An enum's class."""
        full = self.contract.full_names[name]
        doc = documented(self.contract.comments[name])
        rows = [f'    {member} = "{letter}"' for member, letter in enum_letters(self.contract, name)]
        head = f'\n\n@letters(DESCRIPTORS.enum("{full}"))\nclass {name}(ContractEnum):\n    """{doc}"""\n\n'
        return head + "\n".join(rows)

    def model(self, name: str) -> str:
        """A model's class."""
        declared = super().model(name)
        if name in NONE_WHEN_UNSET:
            head, newline, fields = declared.partition(f'("{self.contract.full_names[name]}")\n')
            return f"{head}{newline}    NONE_WHEN_UNSET = True\n{fields}"
        return declared
