"""The contract's messages by the names that protoc's modules would have: `from mattermost_plugin.grpc import post_pb2`.

That is where the published SDK has them, and `post_pb2.Post()` the idiom of its documents and tests. What is a model of
`mattermost_plugin.types` is that model, which can what a message can; other messages are protobuf's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from google.protobuf import descriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from effect_plugin._descriptors import message_class

from .. import types
from .._contract import CONTRACT


def _files(of: Any) -> Iterator[descriptor.FileDescriptor]:
    """A file of the contract, and all that it needs of it; some several times."""
    if of.package.startswith("mattermost."):
        yield of
        for needed in of.dependencies:
            yield from _files(needed)


def _module(file: Any) -> ModuleType:
    name = file.name.rsplit("/", 1)[-1].removesuffix(".proto")
    made = ModuleType(f"{__name__}.{name}_pb2", f"The messages of {file.name}.")
    made.__dict__["DESCRIPTOR"] = file
    for message, described in file.message_types_by_name.items():
        made.__dict__[message] = getattr(types, message, None) or message_class(described)
    for enum, described in file.enum_types_by_name.items():
        made.__dict__[enum] = EnumTypeWrapper(described)
        made.__dict__.update({value.name: value.number for value in described.values})
    return made


for _file in {
    file.name: file for root in (CONTRACT.hooks_service.file, CONTRACT.api_service.file) for file in _files(root)
}.values():
    _made = _module(_file)
    sys.modules[_made.__name__] = _made
    globals()[_made.__name__.rsplit(".", 1)[-1]] = _made


def __getattr__(name: str) -> Any:
    # Type checkers learn by it that there is more here than they see.
    raise AttributeError(f"the contract has no {name}")
