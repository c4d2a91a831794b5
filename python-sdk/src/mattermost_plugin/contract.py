"""The contract's two services, as descriptors: everything that is one per rpc is derived from them."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor, message, message_factory

from ._generated.mattermost.pluginapi.v1 import plugin_api_pb2, plugin_hooks_pb2

HOOKS: descriptor.ServiceDescriptor = plugin_hooks_pb2.DESCRIPTOR.services_by_name["PluginHooks"]
API: descriptor.ServiceDescriptor = plugin_api_pb2.DESCRIPTOR.services_by_name["PluginAPI"]


def message_class(of: descriptor.Descriptor) -> type[message.Message]:
    """The Python class of a message."""
    return message_factory.GetMessageClass(of)


def is_repeated(field: descriptor.FieldDescriptor) -> bool:
    """Whether a field holds a list. protobuf 7 has no `label` any more, protobuf 4 no `is_repeated`."""
    described: Any = field
    repeated = getattr(described, "is_repeated", None)
    return bool(described.label == described.LABEL_REPEATED if repeated is None else repeated)


def snake_case(name: str) -> str:
    """An rpc's name as a Python name: `KVSetWithOptions` becomes `kv_set_with_options`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
