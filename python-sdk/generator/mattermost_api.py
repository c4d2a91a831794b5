"""Mattermost's host API: its methods are called as in the published SDK."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import Any

from effect_plugin._generator.api import Method, api_source
from effect_plugin._generator.names import snake_case

from .contract import API, MattermostContract

#: The methods of the published SDK's client: which arguments there are, which may be left out, and their order.
PUBLISHED_API = Path(__file__).parent / "published_api.txt"

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

#: Required arguments that may be None all the same: there is no value yet.
MAY_BE_NONE = {("kv_compare_and_set", "old_value")}

#: What methods answer that isn't the response's field as it is; see `mattermost_plugin._contract`.
RETURNS = {"get_emoji_image": "bytes", "kv_get": "bytes | None", "search_posts_in_team": "PostList"}

API_HEAD = '''# mypy: disable-error-code="no-any-return"
"""The methods of the host API. Generated: see generate.py."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..models import Json, from_json
from .models import *
'''


@cache
def published() -> dict[str, ast.arguments]:
    """The arguments of the published SDK's methods, by name."""
    declared: dict[str, ast.arguments] = {}
    for line in PUBLISHED_API.read_text().splitlines():
        name, _, arguments = line.removesuffix(")").partition("(")
        (function,) = ast.parse(f"def {name}({DECLARED_OTHERWISE.get(name, arguments)}): ...").body
        assert isinstance(function, ast.FunctionDef)
        declared[name] = function.args
    return declared


class MattermostMethod(Method):
    """A method of the clients, which takes its arguments as the published one does, and what else the contract has."""

    contract: MattermostContract

    def declare(self) -> None:
        """Takes the arguments of the published method."""
        declared = published()[snake_case(self.rpc.name)]
        required = len(declared.args) - len(declared.defaults)
        for index, arg in enumerate(declared.args):
            default = declared.defaults[index - required] if index >= required else None
            self._argument(arg.arg, default, self.positional)
        for arg, default in zip(declared.kwonlyargs, declared.kw_defaults):
            self._argument(arg.arg, default, self.keyword)
        # Whatever else the contract knows can be given by its name.
        for field in self.request.field:
            inner = self.sent.get(field.name)
            if inner is None and not self._log:
                self._argument(field.name, ast.Constant(...), self.keyword)
            elif isinstance(inner, dict):
                for name in self.contract.fields(field.type_name.rsplit(".", 1)[1]):
                    if name not in inner:
                        path = f"{field.name}{'[]' if field.label == 3 else ''}.{name}"
                        self._argument(name, ast.Constant(...), self.keyword, path)

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
        annotation, zero = self.contract.annotation(field, owner)
        self.document(name, field, owner)
        value = name
        if name.endswith("_json"):
            given = "Json | bytes | dict[str, Any]"
            annotation = given if annotation == "Json" else f"{annotation} | Json | bytes"
            value = name if annotation == given else f"from_json({name})"
        self._send(target, value)
        if default is None:
            # What a required message is about has to be there.
            required = annotation if field.proto3_optional else annotation.replace(" | None", "")
            into.append(f"{name}: {required}{' | None' if (self.name, name) in MAY_BE_NONE else ''}")
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
        fields = {field.name: field for field in self.request.field}
        if inner:
            owner = self.contract.messages[fields[outer].type_name.rsplit(".", 1)[1]]
            return self.contract.fields(owner.name)[inner], owner
        if outer in fields:
            return fields[outer], self.request
        for field in fields.values():
            owner = self.contract.messages.get(field.type_name.rsplit(".", 1)[-1])
            if owner is not None and target in self.contract.fields(owner.name):
                return self.contract.fields(owner.name)[target], owner
        sys.exit(f"{self.name}: nothing in {self.request.name} takes {target}; see RENAMED in generator/api.py")

    def _send(self, target: str, value: str) -> None:
        field, owner = self._find(target)
        if owner is self.request:
            self.sent[field.name] = value
            return
        outer = next(f for f in self.request.field if f.type_name.rsplit(".", 1)[-1] == owner.name)
        self.sent.setdefault(outer.name, {})[field.name] = value

    def result_annotation(self, field: Any) -> str:
        """The type of a field of the response."""
        return self.contract.annotation(field, self.response)[0]

    def returns(self) -> str:
        """The type of what the method answers."""
        return RETURNS.get(self.name) or super().returns().removesuffix(" | None")

    def result_source(self) -> str:
        """The named tuple of what a method answers."""
        rows = [f"    {name}: {annotation}" for name, annotation, _ in self.result_fields()]
        doc = f"What `{self.name}` answers."
        return f'\n\nclass {self.result_name}(NamedTuple):\n    """{doc}"""\n\n' + "\n".join(rows)

    def parameters(self) -> list[str]:
        """The parameters after `self`, as Python writes them."""
        return [*super().parameters(), *(["**fields: object"] if self._log else [])]

    def call(self, awaited: str) -> str:
        """The call that does it."""
        return f'{awaited}self._log("{self.rpc.name}", message, fields)' if self._log else super().call(awaited)

    def expression(self, name: str) -> str:
        """What a field of the request is filled with."""
        inner = self.sent[name]
        if isinstance(inner, str):
            return inner
        made = "{" + ", ".join(f'"{key}": {value}' for key, value in inner.items()) + "}"
        return f"[{made}]" if next(f for f in self.request.field if f.name == name).label == 3 else made


def methods_of(contract: MattermostContract) -> list[MattermostMethod]:
    """The methods of the clients, in the contract's order."""
    return [MattermostMethod(contract, API, rpc) for rpc in contract.services[API].method]


def source(contract: MattermostContract) -> str:
    """The module of the methods."""
    return api_source(
        methods_of(contract), API_HEAD, ("_log(self, rpc: str, message: str, fields: dict[str, object]) -> None",)
    )
