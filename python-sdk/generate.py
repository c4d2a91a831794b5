"""Generates from the `.proto` files what is one per message or rpc: descriptors, models, clients. Run by each build."""

from __future__ import annotations

import ast
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "src" / "mattermost_plugin" / "_generated"

# In the repository the contract lies beside the SDK; a source distribution carries it along.
PROTO = next(folder for folder in (HERE.parent / "proto", HERE / "proto") if folder.is_dir())

#: The methods of the published SDK's client: which arguments there are, which may be left out, and their order.
PUBLISHED_API = HERE / "published_api.txt"

#: Methods that have no field in the contract for what the published ones take. These take what the contract has.
DECLARED_OTHERWISE = {
    "get_property_fields": "group_id, ids",
    "get_property_group": "name",
    "get_property_values": "group_id, ids",
    "load_plugin_configuration": "dest=None",
    "register_property_group": "name",
    "search_property_fields": "group_id, *, page=0, per_page=60",
    "search_property_values": 'group_id, *, target_id="", page=0, per_page=60',
}

#: Arguments that are not called as the request's field is. A field within a field has a dot, an element of a list `[]`;
#: None is not sent.
RENAMED: dict[str, dict[str, str | None]] = {
    "create_command": {"command": "cmd"},
    "create_property_field": {"field_json": "field"},
    "create_property_value": {"value_json": "value"},
    "create_upload_session": {"session": "upload_session"},
    "disable_plugin": {"plugin_id": "id"},
    "enable_plugin": {"plugin_id": "id"},
    "execute_slash_command": {"args": "command_args"},
    "get_emoji_list": {"sort": "sort_by"},
    "get_groups_by_source": {"source": "group_source"},
    "get_plugin_status": {"plugin_id": "id"},
    "get_user_by_username": {"username": "name"},
    "install_plugin": {"data": "file_data", "force": "replace"},
    "load_plugin_configuration": {"dest": None},
    "open_interactive_dialog": {"dialog_request": "dialog"},
    "patch_bot": {"patch": "bot_patch"},
    "publish_plugin_cluster_event": {"event_id": "event.id"},
    "remove_plugin": {"plugin_id": "id"},
    "search_posts_in_team": {"terms": "params_list[].terms"},
    "update_command": {"command": "updated_cmd"},
    "update_group_syncable": {"syncable": "group_syncable"},
    "update_property_field": {"field_json": "field"},
    "update_property_fields": {"fields_json": "fields"},
    "update_property_value": {"value_json": "value"},
    "update_property_values": {"values_json": "values"},
    "upload_data": {"session": "upload_session"},
    "upsert_group_syncable": {"syncable": "group_syncable"},
    "upsert_property_value": {"value_json": "value"},
    "upsert_property_values": {"values_json": "values"},
}

#: What methods answer that isn't the response's field as it is; see `client._ANSWERS`.
RETURNS = {"get_emoji_image": "bytes", "kv_get": "bytes | None", "search_posts_in_team": "PostList"}

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

CONTRACT = "mattermost/pluginapi/v1/"

MODELS_HEAD = '''"""The types of the contract. Generated: see generate.py."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from ..models import ContractEnum, Json, Model, contract_enum, model
'''

API_HEAD = '''# mypy: disable-error-code="no-any-return"
"""The methods of the host API. Generated: see generate.py."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..models import Json, from_json
from .models import *
'''


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class Contract:
    """The contract as protoc describes it: messages, enums and rpcs, with their comments."""

    def __init__(self, files: Any) -> None:
        self.messages: dict[str, Any] = {}
        self.enums: dict[str, Any] = {}
        self.services: dict[str, Any] = {}
        #: By name; of a field by `Message.field`.
        self.comments: dict[str, str] = {}
        for file in files:
            if not file.name.startswith(CONTRACT):
                continue
            comments = {tuple(at.path): " ".join(at.leading_comments.split()) for at in file.source_code_info.location}
            # The numbers of these fields in descriptor.proto; members of all three are their field 2.
            for kind, of, into in (
                (4, file.message_type, self.messages),
                (5, file.enum_type, self.enums),
                (6, file.service, self.services),
            ):
                members = {4: "field", 5: "value", 6: "method"}[kind]
                for index, item in enumerate(of):
                    into[item.name] = item
                    self.comments[item.name] = comments.get((kind, index), "")
                    for number, member in enumerate(getattr(item, members)):
                        self.comments[f"{item.name}.{member.name}"] = comments.get((kind, index, 2, number), "")
        rpcs = [method for service in self.services.values() for method in service.method]
        used = {name.rsplit(".", 1)[1] for method in rpcs for name in (method.input_type, method.output_type)}
        self.models = {name: message for name, message in self.messages.items() if name not in used}

    def fields(self, message: str) -> dict[str, Any]:
        return {field.name: field for field in self.messages[message].field}

    def annotation(self, field: Any, owner: Any) -> tuple[str, str]:
        """A field's type and its default, as Python writes them."""
        name = field.type_name.rsplit(".", 1)[-1]
        entry = next((nested for nested in owner.nested_type if nested.name == name), None)
        if entry is not None:
            value, _ = self.annotation(entry.field[1], entry)
            return f"dict[str, {value}]", "field(default_factory=dict)"
        kind, default = {
            1: ("float", "0.0"),
            3: ("int", "0"),
            5: ("int", "0"),
            13: ("int", "0"),
            8: ("bool", "False"),
            9: ("str", '""'),
            11: (name, "None"),
            12: ("Json" if field.name.endswith("_json") else "bytes", 'b""'),
            14: ("str", f"{name}.UNSPECIFIED"),
        }[field.type]
        if kind == "Json":
            default = 'Json(b"")'
        if name == "Struct":
            kind, default = "dict[str, Any]", "field(default_factory=dict)"
        elif name == "Value":
            kind = "Any"
        elif name in ("Int32Value", "Int64Value"):
            kind = "int"
        if field.label == 3:
            return f"list[{kind}]", "field(default_factory=list)"
        if field.proto3_optional or default == "None":
            return (kind if kind == "Any" else f"{kind} | None"), "None"
        return kind, default


# -- models --------------------------------------------------------------------------------------------------------


def models_source(contract: Contract) -> str:
    out = [MODELS_HEAD]
    names = [*contract.enums, *contract.models, *ALIASES]
    for name, enum in contract.enums.items():
        out.append(f'\n\n@contract_enum\nclass {name}(ContractEnum):\n    """{contract.comments[name]}"""\n')
        prefix = snake_case(name).upper() + "_"
        for value in enum.value:
            member = value.name.removeprefix(prefix)
            # Mattermost's own letters are the first ones of these names.
            out.append(f'    {member} = "{"" if value.number == 0 else member[0]}"')
    for name, message in contract.models.items():
        out.append(f'\n\n@model\nclass {name}(Model):\n    """{contract.comments[name] or name + "."}"""\n')
        fields = {snake_case(field.name): field for field in message.field}
        first = FIRST_FIELDS.get(name, "").split()
        for attribute in [*first, *(field for field in fields if field not in first)]:
            field = fields[attribute]
            annotation, default = contract.annotation(field, message)
            if comment := contract.comments[f"{name}.{field.name}"]:
                out.append(f"    #: {comment}")
            out.append(f"    {attribute}: {annotation} = {FIELD_DEFAULTS.get((name, attribute), default)}")
    out += [f"\n\n{alias} = {name}" for alias, name in ALIASES.items()]
    out.append(f"\n__all__ = {sorted(names)!r}")
    return "\n".join(out) + "\n"


# -- clients -------------------------------------------------------------------------------------------------------


class Method:
    """A method of the client: its signature, and the request it makes of its arguments."""

    def __init__(self, contract: Contract, rpc: Any, declared: ast.arguments) -> None:
        self.name = snake_case(rpc.name)
        self._contract = contract
        self._request = contract.messages[rpc.input_type.rsplit(".", 1)[1]]
        response = contract.messages[rpc.output_type.rsplit(".", 1)[1]]
        self.result = [field for field in response.field if field.name != "error"]
        self._response = response
        self._rpc = rpc
        #: For each field of the request the expression it is filled with, or those of its own fields.
        self._sent: dict[str, Any] = {}
        self._positional: list[str] = []
        self._keyword: list[str] = []
        self._docs: list[str] = []
        self._declare(declared)

    def _declare(self, declared: ast.arguments) -> None:
        required = len(declared.args) - len(declared.defaults)
        for index, arg in enumerate(declared.args):
            default = declared.defaults[index - required] if index >= required else None
            self._argument(arg.arg, default, self._positional)
        for arg, default in zip(declared.kwonlyargs, declared.kw_defaults):
            self._argument(arg.arg, default, self._keyword)
        # Whatever else the contract knows can be given by its name.
        for field in self._request.field:
            inner = self._sent.get(field.name)
            if inner is None and not self._log:
                self._argument(field.name, ast.Constant(...), self._keyword)
            elif isinstance(inner, dict):
                for name in self._contract.fields(field.type_name.rsplit(".", 1)[1]):
                    if name not in inner:
                        path = f"{field.name}{'[]' if field.label == 3 else ''}.{name}"
                        self._argument(name, ast.Constant(...), self._keyword, path)

    @property
    def _log(self) -> bool:
        return self.name in ("log_debug", "log_info", "log_warn", "log_error")

    def _argument(self, name: str, default: ast.expr | None, into: list[str], path: str | None = None) -> None:
        if self._log:
            into.append(f"{name}: str")
            return
        target = path or RENAMED.get(self.name, {}).get(name, name)
        if target is None:
            into.append(f"{name}: object = None")
            return
        field, owner = self._find(target)
        annotation, zero = self._contract.annotation(field, owner)
        if comment := self._contract.comments[f"{owner.name}.{field.name}"]:
            self._docs.append(f"`{name}`: {comment}")
        value = name
        if name.endswith("_json"):
            given = "Json | bytes | dict[str, Any]"
            annotation = given if annotation == "Json" else f"{annotation} | Json | bytes"
            value = name if annotation == given else f"from_json({name})"
        self._send(target, value)
        if default is None:
            # A message that a required argument is about has to be there; any other argument of None is left unset.
            required = annotation if field.proto3_optional or "old_value" in name else annotation.replace(" | None", "")
            into.append(f"{name}: {required}{' | None' if name == 'old_value' else ''}")
            return
        text = ast.unparse(default)
        if text == "...":
            text = "None" if zero.startswith("field(") or zero.endswith("UNSPECIFIED") else zero
        if text == "None" and not annotation.endswith(("None", "Any")):
            annotation += " | None"
        into.append(f"{name}: {annotation} = {text}".replace("'", '"'))

    def _find(self, target: str) -> tuple[Any, Any]:
        """The field an argument goes into, and the message it belongs to."""
        outer, _, inner = target.replace("[]", "").partition(".")
        fields = {field.name: field for field in self._request.field}
        if inner:
            owner = self._contract.messages[fields[outer].type_name.rsplit(".", 1)[1]]
            return self._contract.fields(owner.name)[inner], owner
        if outer in fields:
            return fields[outer], self._request
        for field in fields.values():
            owner = self._contract.messages.get(field.type_name.rsplit(".", 1)[-1])
            if owner is not None and target in self._contract.fields(owner.name):
                return self._contract.fields(owner.name)[target], owner
        sys.exit(f"{self.name}: nothing in {self._request.name} takes {target}; see RENAMED in generate.py")

    def _send(self, target: str, value: str) -> None:
        field, owner = self._find(target)
        if owner is self._request:
            self._sent[field.name] = value
            return
        outer = next(f for f in self._request.field if f.type_name.rsplit(".", 1)[-1] == owner.name)
        self._sent.setdefault(outer.name, {})[field.name] = value

    def returns(self) -> str:
        if self.name in RETURNS:
            return RETURNS[self.name]
        if len(self.result) > 1:
            return f"{self._rpc.name}Result"
        if not self.result:
            return "None"
        return self._contract.annotation(self.result[0], self._response)[0].removesuffix(" | None")

    def result_source(self) -> str:
        """The named tuple of what a method answers."""
        rows = [f"    {f.name}: {self._contract.annotation(f, self._response)[0]}" for f in self.result]
        doc = f"What `{self.name}` answers."
        return f'\n\nclass {self._rpc.name}Result(NamedTuple):\n    """{doc}"""\n\n' + "\n".join(rows)

    def source(self, is_async: bool) -> str:
        keyword = ["*", *self._keyword] if self._keyword else []
        parameters = ["self", *self._positional, *keyword, *(["**fields: object"] if self._log else [])]
        doc = self._contract.comments[f"PluginAPI.{self._rpc.name}"]
        if self._docs:
            doc += "\n\n        " + "\n        ".join(self._docs)
        if self._log:
            call = f'self._log("{self._rpc.name}", message, fields)'
        else:
            sent = "".join(f", {name}={self._expression(name)}" for name in self._sent)
            call = f'self._call("{self._rpc.name}"{sent})'
        head = "async def" if is_async else "def"
        end = '\n        """' if self._docs else '"""'
        return (
            f"    {head} {self.name}({', '.join(parameters)}) -> {self.returns()}:\n"
            f'        """{doc}{end}\n        return {"await " if is_async else ""}{call}\n'
        )

    def _expression(self, name: str) -> str:
        inner = self._sent[name]
        if isinstance(inner, str):
            return inner
        made = "{" + ", ".join(f'"{key}": {value}' for key, value in inner.items()) + "}"
        return f"[{made}]" if next(f for f in self._request.field if f.name == name).label == 3 else made


def api_source(contract: Contract) -> str:
    declared: dict[str, ast.arguments] = {}
    for line in PUBLISHED_API.read_text().splitlines():
        name, _, arguments = line.removesuffix(")").partition("(")
        (function,) = ast.parse(f"def {name}({DECLARED_OTHERWISE.get(name, arguments)}): ...").body
        assert isinstance(function, ast.FunctionDef)
        declared[name] = function.args
    methods = [Method(contract, rpc, declared[snake_case(rpc.name)]) for rpc in contract.services["PluginAPI"].method]
    out = [API_HEAD, *(m.result_source() for m in methods if len(m.result) > 1 and m.name not in RETURNS)]
    for name, is_async in (("PluginAPIMethods", False), ("AsyncPluginAPIMethods", True)):
        head = "async def" if is_async else "def"
        out.append(f'\n\nclass {name}:\n    """One method for each rpc of the host API."""\n')
        out.append(f"    {head} _call(self, rpc: str, /, **values: Any) -> Any:\n        raise NotImplementedError\n")
        out.append(
            f"    {head} _log(self, rpc: str, message: str, fields: dict[str, object]) -> None:\n"
            "        raise NotImplementedError\n"
        )
        out += [method.source(is_async) for method in methods]
    return "\n".join(out)


def generate(output: Path = OUTPUT) -> None:
    """Writes descriptors, models and clients into `output`."""
    import grpc_tools
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    well_known = str(Path(grpc_tools.__file__).parent / "_proto")
    sources = sorted(str(file.relative_to(PROTO)) for file in PROTO.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder) / "descriptors"
        flags = [f"--descriptor_set_out={described}", "--include_imports", "--include_source_info"]
        if protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *flags, *sources]) != 0:
            sys.exit("protoc failed; its messages are above")
        files = descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes())
    contract = Contract(files.file)
    (output / "models.py").write_text(models_source(contract))
    (output / "api.py").write_text(api_source(contract))
    for file in files.file:
        file.ClearField("source_code_info")
    (output / "descriptors.binpb").write_bytes(files.SerializeToString())
    (output / "__init__.py").touch()


if __name__ == "__main__":
    generate()
