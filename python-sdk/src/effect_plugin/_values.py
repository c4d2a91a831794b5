"""What the fields of messages are as Python's values, and back."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Callable, cast

from google.protobuf import descriptor
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ._descriptors import OfModels, message_class, rules_of
from ._enums import ENUMS
from ._fields import is_map, is_optional, is_repeated
from ._well_known import READERS, to_well_known

if TYPE_CHECKING:
    from ._models import Model


def json_bytes(value: Any) -> bytes:
    """JSON. Raises TypeError or ValueError for what it can't say: NaN, half a character, what is nested too deeply."""
    import json

    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("this is nested too deeply for JSON") from error


class Json(bytes):
    """JSON, in bytes as the contract carries it; `json()` is what it says. Made of bytes, or of what JSON can say."""

    def __new__(cls, value: Any = b"") -> Json:
        """Of bytes as they are, of anything else its JSON."""
        return super().__new__(cls, value if isinstance(value, bytes) else json_bytes(value))

    def json(self) -> Any:
        """What the bytes say; None when there are none. Raises ValueError if they are no JSON."""
        import json

        return json.loads(self) if self else None


class ModelBase:
    """What all models are. Here they have their attributes, whatever they say of `__dict__` themselves."""


#: An object's own attributes.
values_of: Callable[[Any], dict[str, Any]] = ModelBase.__dict__["__dict__"].__get__


#: The models by their messages. Descriptors are of one pool, so that contracts may have the same names.
MODELS: OfModels[type[Model]] = OfModels()


# -- from the wire -------------------------------------------------------------------------------------------------


@functools.cache
def reader(field: FieldDescriptor) -> Callable[[Any], Any]:
    """What makes a field's value on the wire one of the model."""
    if is_map(field):
        of_value = reader(cast("Any", field.message_type).fields_by_name["value"])
        return lambda value: {key: of_value(item) for key, item in value.items()}
    one = _reader_of_one(field)
    return (lambda value: [one(item) for item in value]) if is_repeated(field) else one


def _reader_of_one(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.message_type is not None:
        known = MODELS.get(field.message_type)
        if known is not None:
            return known._of
        return READERS.get(field.message_type.full_name, lambda value: value)
    if field.enum_type is not None:
        return ENUMS[field.enum_type].read
    is_json = field.type == field.TYPE_BYTES and field.name.endswith("_json") and rules_of(field).json_bytes
    return Json if is_json else lambda value: value


def value_reader(field: FieldDescriptor) -> Callable[[Any], Any]:
    """What reads a field of a message; None where there is nothing to read."""
    get, read = attrgetter(field.name), reader(field)
    if _may_be_absent(field):
        return lambda message: read(get(message)) if message.HasField(field.name) else None
    return lambda message: read(get(message))


def one_or_all(readers: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Reads what there is of a message: nothing, one thing, or a tuple of several."""
    if len(readers) == 1:
        return readers[0]
    return lambda message: tuple(read(message) for read in readers) if readers else None


def _may_be_absent(field: FieldDescriptor) -> bool:
    """Whether a field may have nothing to read. A message of the contract's has, unless it is declared optional."""
    if is_optional(field):
        return True
    if field.message_type is None or is_repeated(field) or field.message_type in MODELS:
        return False
    # An empty object, or list, is as good as none.
    return field.message_type.name not in ("Struct", "ListValue")


def has_model(message: descriptor.Descriptor) -> bool:
    """Whether a message has a model."""
    return message in MODELS


def model_of(message: descriptor.Descriptor) -> type[Model]:
    """The model of a message. Raises KeyError for one that has none, as requests and responses have none."""
    return MODELS[message]


def from_json(value: Any) -> Any:
    """A message's fields where a method takes its JSON, as the published SDK's property methods do."""
    import json

    return json.loads(value) if isinstance(value, (bytes, str)) else value


# -- to the wire ---------------------------------------------------------------------------------------------------


def fill(message: Any, field: FieldDescriptor, value: Any) -> None:
    """Puts a value of the model into a message; None leaves the field unset.

    Raises TypeError for what is none of the field's, and ValueError for one that can't be sent.
    """
    if value is None:
        return
    if _is_plain(field):
        try:
            setattr(message, field.name, value)
            return
        except (TypeError, ValueError):
            # It may be put in another way, or the reason is told below.
            pass
    try:
        oneof = field.containing_oneof
        if oneof is not None and message.WhichOneof(oneof.name) not in (None, field.name):
            others = f"{oneof.name} is one of {', '.join(each.name for each in oneof.fields)}"
            raise ValueError(f"{others}, and {message.WhichOneof(oneof.name)} is set")
        _fill(message, field, value)
    except (TypeError, AttributeError) as error:
        raise TypeError(f"can't take a {type(value).__name__} as {field.name}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"can't take this {type(value).__name__} as {field.name}: {error}") from error


@functools.cache
def _is_plain(field: FieldDescriptor) -> bool:
    """Whether a field takes values as they are."""
    of = (field.message_type, field.enum_type, field.containing_oneof)
    return of == (None, None, None) and not is_repeated(field)


def _fill(message: Any, field: FieldDescriptor, value: Any) -> None:
    of = field.message_type
    if is_map(field):
        of_value = cast("Any", of).fields_by_name["value"]
        target = getattr(message, field.name)
        for key, item in value.items():
            if of_value.message_type is None:
                target[key] = _scalar(of_value, item)
            else:
                target[key].CopyFrom(to_message(of_value.message_type, item))
    elif is_repeated(field):
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise TypeError("that is no list")
        items = (_scalar(field, item) if of is None else to_message(of, item) for item in value)
        getattr(message, field.name).extend(items)
    elif of is not None:
        getattr(message, field.name).CopyFrom(to_message(of, value))
    else:
        setattr(message, field.name, _scalar(field, value))


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        known = ENUMS.get(field.enum_type)
        try:
            return value if known is None else known.write(value)
        except (KeyError, ValueError):
            raise TypeError(f"{value!r} is not a valid {known.enum.__name__ if known else 'enum'}") from None
    if isinstance(value, (dict, list)) and field.type == field.TYPE_BYTES:
        return json_bytes(value)
    return value


def to_message(of: descriptor.Descriptor, value: Any) -> Any:
    """A message of this kind: from its model, from a message as protobuf has it, or a dict or tuple of its fields."""
    known = MODELS.get(of)
    if isinstance(value, ModelBase):
        value = cast("Model", value).to_proto()
    if isinstance(value, Message):
        if type(value) is message_class(of):
            return value
        if value.DESCRIPTOR.full_name == of.full_name:
            # Somebody else's stubs of the same contract.
            return message_class(of).FromString(value.SerializeToString())
    elif known is not None and isinstance(value, Mapping):
        return known(**value).to_proto()
    elif known is not None and isinstance(value, tuple):
        return known(*value).to_proto()
    elif (made := to_well_known(of, value)) is not None:
        return made
    raise TypeError(f"a {of.name} is needed")
