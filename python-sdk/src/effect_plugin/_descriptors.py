"""The messages and services of a contract's `.proto` files, made from their descriptors when they are needed.

Each contract has a descriptor pool of its own: others may bring the same `.proto` files along, in another version. And
there is no code of protoc's, which would be tied to one version of protobuf.
"""

from __future__ import annotations

import pkgutil
from typing import Any

from google.protobuf import descriptor, descriptor_pb2, descriptor_pool, message_factory


class Descriptors:
    """The messages, enums and services of a set of `.proto` files, and how its values are written in Python."""

    def __init__(
        self, data: bytes, *, json_bytes: bool = False, json_numbers: bool = False, unset_is_empty: bool = False
    ) -> None:
        """`data` is a FileDescriptorSet with all imports.

        With `json_bytes`, fields of bytes whose names end with `_json` are `Json`. With `json_numbers` no number may be
        one that JSON can't say. With `unset_is_empty`, a message that is not set reads as an empty one, not as None.
        """
        self._pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
            self._pool.AddSerializedFile(file.SerializeToString())
        self.json_bytes = json_bytes
        self.json_numbers = json_numbers
        self.unset_is_empty = unset_is_empty
        _OF_POOL[self._pool] = self

    @classmethod
    def of_package(cls, package: str, **rules: bool) -> Descriptors:
        """Those in a package's file `descriptors.binpb`."""
        return cls(pkgutil.get_data(package, "descriptors.binpb") or b"", **rules)

    def message(self, name: str) -> descriptor.Descriptor:
        """A message, by its full name. Raises KeyError where there is none."""
        return self._pool.FindMessageTypeByName(name)

    def enum(self, name: str) -> descriptor.EnumDescriptor:
        """An enum, by its full name. Raises KeyError where there is none."""
        return self._pool.FindEnumTypeByName(name)

    def service(self, name: str) -> descriptor.ServiceDescriptor:
        """A service, by its full name. Raises KeyError where there is none."""
        return self._pool.FindServiceByName(name)


_OF_POOL: dict[Any, Descriptors] = {}


def rules_of(described: Any) -> Descriptors:
    """The descriptors that a message's or a field's one is from."""
    return rules_of_file(described.file)


def rules_of_file(file: Any) -> Descriptors:
    """The descriptors that a file is one of."""
    return _OF_POOL[file.pool]


#: What the engine itself speaks: go-plugin's services, and those of every contract.
ENGINE = Descriptors.of_package(f"{__package__}._generated")


def message_class(of: str | descriptor.Descriptor) -> Any:
    """The Python class of a message, by its descriptor; of the engine's own, by its full name."""
    return message_factory.GetMessageClass(ENGINE.message(of) if isinstance(of, str) else of)
