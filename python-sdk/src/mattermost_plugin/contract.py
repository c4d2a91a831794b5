"""The contract's two services, as descriptors: everything that is one per rpc is derived from them."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor

from .descriptors import message_class, service

PACKAGE = "mattermost.pluginapi.v1"
HOOKS = service(f"{PACKAGE}.PluginHooks")
API = service(f"{PACKAGE}.PluginAPI")


def contract_message(name: str) -> Any:
    """The Python class of a message of the contract: what goes over the wire, as protobuf has it."""
    return message_class(f"{PACKAGE}.{name}")


def is_repeated(field: descriptor.FieldDescriptor) -> bool:
    """Whether a field holds a list. protobuf 7 has no `label` any more, protobuf 4 no `is_repeated`."""
    described: Any = field
    repeated = getattr(described, "is_repeated", None)
    return bool(described.label == described.LABEL_REPEATED if repeated is None else repeated)


def is_map(field: descriptor.FieldDescriptor) -> bool:
    """Whether a field holds a map, which to protobuf is a list of entries."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_optional(field: descriptor.FieldDescriptor) -> bool:
    """Whether a field is declared `optional`: protobuf gives such a field a oneof of its own."""
    return field.containing_oneof is not None


def is_struct(field: descriptor.FieldDescriptor) -> bool:
    """Whether a field holds JSON's object, protobuf's Struct."""
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Struct"


def snake_case(name: str) -> str:
    """A name of the contract as a Python name: `KVSetWithOptions` becomes `kv_set_with_options`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
