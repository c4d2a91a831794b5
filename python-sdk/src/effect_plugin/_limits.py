"""What may be sent: how large a message may be, and what in it nobody could store or read again."""

from __future__ import annotations

import functools
import math
import os
from typing import Any, cast

from google.protobuf import descriptor
from google.protobuf.descriptor import FieldDescriptor

from ._descriptors import rules_of_file
from ._fields import is_map, is_repeated

#: Bytes of a message, either way. Hosts have the same limit, and hold a message in memory several times over.
MESSAGE_LIMIT = 64 * 1024 * 1024

#: Names another limit, in bytes, for a host whose operator has set another one; -1 is none.
LIMIT_VARIABLE = "PLUGIN_SUPERVISOR_MESSAGE_LIMIT"

#: Messages within messages that a host takes: protobuf reads a hundred, and a list of posts puts some around each.
_MAX_DEPTH = 90

#: The largest number up to which every integer is a number of JSON's, in which hosts store and send them.
_MAX_INTEGER = 2**53 - 1

#: Characters of a path in an error: a plugin's own keys may be long.
_PATH_SHOWN = 200

_STRUCT_FILE = "google/protobuf/struct.proto"

_INTEGERS = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
_NUMBERS = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}


@functools.cache
def message_limit() -> int:
    """The limit of this process."""
    try:
        return int(os.environ.get(LIMIT_VARIABLE, ""))
    except ValueError:
        return MESSAGE_LIMIT


def message_options() -> list[tuple[str, int]]:
    """The limit, as gRPC's channels and servers take it."""
    limit = message_limit()
    return [("grpc.max_receive_message_length", limit), ("grpc.max_send_message_length", limit)]


def check_sendable(message: Any) -> None:
    """Raises ValueError for a message that a host would refuse, or could not read; it says where and why."""
    found = _problem(message, 0) if _looked_at(message.DESCRIPTOR) else None
    if found is not None:
        names, what = found
        path = "".join(name if name.startswith("[") else f".{name}" for name in reversed(names))
        raise ValueError(f"{path[1 : _PATH_SHOWN + 1]} {what}")
    limit, size = message_limit(), message.ByteSize()
    if 0 <= limit < size:
        raise ValueError(f"it has {size} bytes; a message has at most {limit}")


#: Names on the way to what is wrong, the innermost first, and what it is.
_Problem = tuple[list[str], str]


@functools.cache
def _looked_at(of: descriptor.Descriptor) -> dict[str, FieldDescriptor]:
    """The fields of a message in which something may be wrong."""
    numbers = {*_INTEGERS, *_NUMBERS} if _is_json(of.file) else set()
    kinds = {*numbers, FieldDescriptor.CPPTYPE_MESSAGE}
    return {field.name: field for field in of.fields if field.cpp_type in kinds}


@functools.cache
def _is_json(file: Any) -> bool:
    """Whether the numbers of a file's messages are to be JSON's: a Struct's are, and where hosts store JSON."""
    return file.name == _STRUCT_FILE or rules_of_file(file).json_numbers


def _problem(message: Any, depth: int) -> _Problem | None:
    if depth > _MAX_DEPTH:
        return [], f"is nested too deeply: {_MAX_DEPTH} messages are within one another, or 29 objects of JSON"
    of = message.DESCRIPTOR
    # JSON's own messages are no part of a path, only its keys and indexes are.
    is_json = of.file.name == _STRUCT_FILE
    fields = _looked_at(of)
    for described, value in message.ListFields():
        field = fields.get(described.name)
        if field is None:
            continue
        found = _problem_of_field(field, value, depth)
        if found is not None:
            if not is_json:
                found[0].append(field.name)
            return found
    return None


def _problem_of_field(field: FieldDescriptor, value: Any, depth: int) -> _Problem | None:
    if is_map(field):
        of_value = field.message_type.fields_by_name["value"] if field.message_type is not None else field
        # An entry of a map is a message of its own.
        items = ((key, _problem_of_one(of_value, value[key], depth + 1)) for key in value)
    elif is_repeated(field):
        items = ((f"[{index}]", _problem_of_one(field, item, depth)) for index, item in enumerate(value))
    else:
        return _problem_of_one(field, value, depth)
    for key, found in items:
        if found is not None:
            found[0].append(str(key))
            return found
    return None


def _problem_of_one(field: FieldDescriptor, value: Any, depth: int) -> _Problem | None:
    if field.message_type is not None:
        return _problem(value, depth + 1)
    if not _is_json(cast("Any", field).file):
        return None
    if field.cpp_type in _INTEGERS and abs(value) > _MAX_INTEGER:
        advice = "; times are in milliseconds since 1970" if field.name.endswith("_at") else ""
        return [], f"is {value}, more than JSON's integers can say ({_MAX_INTEGER}){advice}"
    if field.cpp_type in _NUMBERS and not math.isfinite(value):
        return [], f"is {value}, which JSON can't say"
    return None
