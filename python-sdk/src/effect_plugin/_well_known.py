"""protobuf's own messages that Python has types for: times, JSON, and what wraps one value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, ClassVar

from google.protobuf import descriptor

from ._descriptors import ENGINE, message_class

#: The largest number up to which every integer is a number of JSON's, a double.
_EXACT = 2**53

_GOOGLE = "google.protobuf."

#: Messages around one value, which can be left out.
_WRAPPERS = {
    f"{_GOOGLE}{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
}

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Properties(dict):  # type: ignore[type-arg]
    """A dict of JSON values. For code that expects protobuf's Struct it has `fields`; `MessageToDict` takes it, too."""

    DESCRIPTOR: ClassVar[Any] = ENGINE.message("google.protobuf.Struct")

    @property
    def fields(self) -> Any:
        """The values as protobuf has them; to be read."""
        return to_well_known(self.DESCRIPTOR, self).fields


#: How messages that Python has types of its own for are read.
READERS: dict[str, Callable[[Any], Any]] = {
    f"{_GOOGLE}Struct": lambda struct: _read_struct(struct),
    f"{_GOOGLE}Value": lambda value: _read_value(value),
    f"{_GOOGLE}ListValue": lambda items: [_read_value(item) for item in items.values],
    f"{_GOOGLE}Timestamp": lambda at: _EPOCH + timedelta(seconds=at.seconds, microseconds=at.nanos // 1000),
    f"{_GOOGLE}Duration": lambda span: timedelta(seconds=span.seconds, microseconds=span.nanos / 1000),
    **{name: lambda wrapper: wrapper.value for name in _WRAPPERS},
}


def _read_struct(struct: Any) -> Properties:
    return Properties({key: _read_value(value) for key, value in struct.fields.items()})


def _read_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _read_struct(value.struct_value)
    if kind == "list_value":
        return [_read_value(item) for item in value.list_value.values]
    if kind == "number_value":
        # JSON's numbers are doubles on the wire. What was an integer is one again.
        number = value.number_value
        return int(number) if abs(number) <= _EXACT and number.is_integer() else number
    return None if kind in (None, "null_value") else getattr(value, kind)


def _struct(of: descriptor.Descriptor, values: Mapping[str, Any]) -> Any:
    struct = message_class(of)()
    try:
        struct.update(values)
    except UnicodeError:
        raise
    except ValueError as error:
        # protobuf's word for a value of a type that JSON does not have.
        raise TypeError(error) from None
    return struct


def _timestamp(of: descriptor.Descriptor, value: datetime) -> Any:
    if value.utcoffset() is None:
        raise ValueError("a time needs its time zone, as datetime.now(timezone.utc) has one")
    return _seconds(of, value - _EPOCH)


def _seconds(of: descriptor.Descriptor, span: timedelta) -> Any:
    # Truncated towards zero in both parts, as a Duration is written; a Timestamp counts its nanoseconds forward.
    seconds, micros = span.days * 86400 + span.seconds, span.microseconds
    if of.name == "Duration" and seconds < 0 and micros:
        seconds, micros = seconds + 1, micros - 1_000_000
    return message_class(of)(seconds=seconds, nanos=micros * 1000)


def to_well_known(of: descriptor.Descriptor, value: Any) -> Any:
    """A message of protobuf's own of what Python has for it; None for any other."""
    name = of.full_name
    if name == f"{_GOOGLE}Value":
        of_struct: Any = of.fields_by_name["struct_value"].message_type
        return _struct(of_struct, {"value": value}).fields["value"]
    if name == f"{_GOOGLE}Struct" and isinstance(value, Mapping):
        return _struct(of, value)
    if name == f"{_GOOGLE}ListValue" and isinstance(value, (list, tuple)):
        of_value: Any = of.fields_by_name["values"].message_type
        return message_class(of)(values=[to_well_known(of_value, item) for item in value])
    if name == f"{_GOOGLE}Timestamp" and isinstance(value, datetime):
        return _timestamp(of, value)
    if name == f"{_GOOGLE}Duration" and isinstance(value, timedelta):
        return _seconds(of, value)
    return message_class(of)(value=value) if name in _WRAPPERS else None
