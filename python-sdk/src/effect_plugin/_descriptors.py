"""The messages and services of a contract's `.proto` files, made from their descriptors when they are needed.

Each contract has a descriptor pool of its own: others may bring the same `.proto` files along, in another version. And
there is no code of protoc's, which would be tied to one version of protobuf.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf import descriptor
from google.protobuf.message import Message

if TYPE_CHECKING:
    from google.protobuf import descriptor_pool


class Descriptors:
    """The messages, enums and services of a set of `.proto` files, and how its values are written in Python."""

    def __init__(
        self,
        data: bytes,
        *,
        models: str = "",
        json_bytes: bool = False,
        json_numbers: bool = False,
        unset_is_empty: bool = False,
    ) -> None:
        """`data` is a FileDescriptorSet with all imports; `models` is the module of their models, if there is one.

        With `json_bytes`, fields of bytes whose names end with `_json` are `Json`. With `json_numbers` no number may be
        one that JSON can't say. With `unset_is_empty`, a message that is not set reads as an empty one, not as None.
        """
        self._pool: descriptor_pool.DescriptorPool = _new_pool()
        for file in _files_of(data):
            self._pool.AddSerializedFile(file)
        self._models = models
        self.json_bytes = json_bytes
        self.json_numbers = json_numbers
        self.unset_is_empty = unset_is_empty
        _OF_POOL[self._pool] = self

    @classmethod
    def of_package(cls, package: str, *, models: str = "", **rules: bool) -> Descriptors:
        """Those in a package's file `descriptors.binpb`."""
        module: Any = importlib.import_module(package)
        file = os.path.join(os.path.dirname(module.__file__), "descriptors.binpb")
        return cls(module.__spec__.loader.get_data(file), models=models, **rules)

    def load_models(self) -> None:
        """Imports the module of the models, which most plugins begin without."""
        if self._models:
            # Another thread that asks meanwhile waits for the import.
            importlib.import_module(self._models)
            self._models = ""

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

Known = TypeVar("Known")


class OfModels(dict[Any, Known]):
    """What is known of messages or enums since their models are. Who asks has these loaded."""

    def __missing__(self, of: Any) -> Known:
        found = self.get(of)
        if found is None:
            raise KeyError(of)
        return found

    def get(self, of: Any, default: Any = None) -> Known | None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """See `dict.get`."""
        found = dict.get(self, of)
        if found is None:
            rules_of(of).load_models()
            found = dict.get(self, of)
        return default if found is None else found

    def __contains__(self, of: object) -> bool:
        return self.get(of) is not None


def _new_pool() -> Any:
    # What protobuf makes a pool of where it is not written in Python. The module of its own name loads its Python part,
    # and all that this needs.
    made: Any = getattr(getattr(descriptor, "_message", None), "DescriptorPool", None)
    if made is None:
        from google.protobuf.descriptor_pool import DescriptorPool

        made = DescriptorPool
    return made()


def _files_of(data: bytes) -> Iterator[bytes]:
    """The files of a FileDescriptorSet, which has nothing else: one field, number 1. For protobuf's own class of it, it
    loads what nothing else needs."""
    at, end = 0, len(data)
    while at < end:
        if data[at] != 0x0A:
            raise ValueError("this is no FileDescriptorSet")
        at, size, shift = at + 1, 0, 0
        while True:
            byte = data[at]
            at, size, shift = at + 1, size | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                break
        yield data[at : at + size]
        at += size


def rules_of(described: Any) -> Descriptors:
    """The descriptors that a message's or a field's one is from."""
    return rules_of_file(described.file)


def rules_of_file(file: Any) -> Descriptors:
    """The descriptors that a file is one of."""
    return _OF_POOL[file.pool]


#: What the engine itself speaks: go-plugin's services, and those of every contract.
ENGINE = Descriptors.of_package(f"{__package__}._generated", models=f"{__package__}._generated.models")


#: The class of protobuf's message classes where it is not written in Python.
_MessageMeta: Any = getattr(getattr(descriptor, "_message", None), "MessageMeta", None)


def message_class(of: str | descriptor.Descriptor) -> Any:
    """The Python class of a message, by its descriptor; of the engine's own, by its full name."""
    described: Any = ENGINE.message(of) if isinstance(of, str) else of
    return getattr(described, "_concrete_class", None) or _made_class(described)


def _made_class(described: Any) -> Any:
    if _MessageMeta is None or described.extensions:
        from google.protobuf.message_factory import GetMessageClass

        return GetMessageClass(described)
    # As that does, whose module loads protobuf's Python part, and all that this needs.
    made = _MessageMeta(described.name, (Message,), {"DESCRIPTOR": described, "__module__": None})
    for field in described.fields:
        if field.message_type is not None:
            message_class(field.message_type)
    return made
