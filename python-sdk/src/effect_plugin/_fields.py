"""What there is to know of a message's field, in every version of protobuf."""

from __future__ import annotations

from typing import Any, cast

from google.protobuf import descriptor

from ._descriptors import message_class


def is_repeated(field: descriptor.FieldDescriptor) -> bool:
    """Whether a field holds a list. protobuf 7 has no `label` any more, protobuf 4 no `is_repeated`."""
    described: Any = field
    repeated = getattr(described, "is_repeated", None)
    return bool(described.label == described.LABEL_REPEATED if repeated is None else repeated)


def is_map(field: descriptor.FieldDescriptor) -> bool:
    """Whether a field holds a map, which to protobuf is a list of entries."""
    of: Any = field.message_type
    if of is None or not of.has_options or not is_repeated(field):
        return False
    # Not by its options: what they are made of takes protobuf as long to load as all else of it.
    owner: Any = message_class(cast("Any", field.containing_type))()
    return hasattr(getattr(owner, field.name), "keys")


def is_optional(field: descriptor.FieldDescriptor) -> bool:
    """Whether a field may be unset: it is declared `optional`, to which protobuf gives a oneof, or is in a oneof."""
    return field.containing_oneof is not None


def is_struct(field: descriptor.FieldDescriptor) -> bool:
    """Whether a field holds JSON's object, protobuf's Struct."""
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Struct"
