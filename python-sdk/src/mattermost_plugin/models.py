"""The models of the contract's messages; see `mattermost_plugin.types`."""

from __future__ import annotations

from enum import Enum
from typing import Any, Callable, TypeVar, cast

from google.protobuf import descriptor

from effect_plugin._models import Model, contract_enum, model
from effect_plugin._values import Json, fill, from_json, json_bytes, reader, to_message
from effect_plugin._well_known import Properties

__all__ = [
    "ContractEnum",
    "Json",
    "Model",
    "Properties",
    "fill",
    "from_json",
    "json_bytes",
    "letters",
    "model",
    "reader",
    "to_message",
]

Enumerated = TypeVar("Enumerated", bound="ContractEnum")


class ContractEnum(str, Enum):
    """An enum whose values are Mattermost's letters, `"O"` say, and which equals the contract's numbers as well."""

    @property
    def number(self) -> int:
        """The number on the wire."""
        return list(type(self)).index(self)

    def __eq__(self, other: object) -> bool:
        return self.number == other if isinstance(other, int) else str.__eq__(self, cast("str", other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __index__(self) -> int:
        return self.number

    __int__ = __index__
    __hash__ = str.__hash__
    __str__ = str.__str__

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)


def letters(of: descriptor.EnumDescriptor) -> Callable[[type[Enumerated]], type[Enumerated]]:
    """Makes an enum of letters the model of the contract's."""
    return contract_enum(of, _read, _write)


def _read(enum: Any, number: int) -> Any:
    members = list(enum)
    # A host of tomorrow may have more of them.
    return members[number] if number < len(members) else number


def _write(enum: Any, value: Any) -> int:
    number: int = enum(value).number if isinstance(value, str) else value
    return number
