"""The one model of what the contract is about: dataclasses, which hooks are handed and may return, and which the host
API takes and answers.

Their declarations are generated (`types`), the way to and from the wire follows from the messages' descriptors.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import InitVar
from enum import Enum
from typing import TYPE_CHECKING, Any, Callable, ClassVar, TypeVar, cast

from google.protobuf import descriptor
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from .contract import contract_message, is_map, is_optional, is_repeated, is_struct, snake_case
from .descriptors import message_class

if TYPE_CHECKING:
    from dataclasses import dataclass as model
else:
    # Made-up methods would have to be compiled one by one for every class: a tenth of a second at each plugin's start.
    _dataclass = dataclasses.dataclass(init=False, repr=False, eq=False)

    def model(cls: type) -> type:
        """Makes a model of a class of fields."""
        made = _dataclass(cls)
        # Patterns match fields alone.
        made.__match_args__ = tuple(field.name for field in dataclasses.fields(made))
        return made


Self = TypeVar("Self", bound="Model")
Enumerated = TypeVar("Enumerated", bound="ContractEnum")

#: The largest number up to which every integer is a number of JSON's, a double.
_EXACT = 2**53

#: Messages around one number, which can be left out.
_WRAPPERS = {"google.protobuf.Int32Value", "google.protobuf.Int64Value"}

#: Messages whose unset ones are None when they are read, as in the published SDK's own types.
_NONE_WHEN_UNSET = {"OpenDialogRequest", "TeamMemberWithError"}

#: Methods of protobuf's messages that change them.
_CHANGES = {"Clear", "ClearField", "CopyFrom", "MergeFrom", "MergeFromString", "ParseFromString"}


def json_bytes(value: Any) -> bytes:
    """JSON. Raises TypeError or ValueError for what it can't say: NaN, half a character, what is nested too deeply."""
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
        return json.loads(self) if self else None


class Properties(dict):  # type: ignore[type-arg]
    """A dict of JSON values. For code that expects protobuf's Struct it has `fields`; `MessageToDict` takes it, too."""

    DESCRIPTOR: ClassVar[Any] = message_class("google.protobuf.Struct").DESCRIPTOR

    @property
    def fields(self) -> Any:
        """The values as protobuf has them; to be read."""
        return to_message(self.DESCRIPTOR, self).fields


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


class _Signature:
    """A model's signature, for `help()` and editors: its fields with their types and defaults."""

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        return inspect.Signature(
            [
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD,
                    default=_default(field),
                    annotation=field.type,
                )
                for field in dataclasses.fields(cast("Any", owner))
            ]
        )


@model
class Model:
    """What all models have in common. Each is a dataclass that can be changed; every field has a default.

    Code written for protobuf's messages goes on working: `HasField`, `CopyFrom`, `json_format.MessageToDict` and so on.
    """

    DESCRIPTOR: ClassVar[descriptor.Descriptor]

    __signature__ = _Signature()

    if TYPE_CHECKING:
        _origin: ClassVar[Any]
    else:
        #: The message that this was read from, with what it has beyond the model's fields. It is no field, but
        #: `dataclasses.replace` hands it on.
        _origin: InitVar[Any] = None

    def __init_subclass__(cls) -> None:
        # A subclass of a model is one for the same message.
        if not hasattr(cls, "DESCRIPTOR"):
            cls.DESCRIPTOR = contract_message(cls.__name__).DESCRIPTOR
            _MODELS[cls.DESCRIPTOR.full_name] = cls

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields = dataclasses.fields(cast("Any", type(self)))
        if len(args) > len(fields):
            raise TypeError(f"{type(self).__name__} has {len(fields)} fields, {len(args)} were given")
        values = self.__dict__
        values["_origin"] = kwargs.pop("_origin", None)
        for field, value in zip(fields, args):
            if field.name in kwargs:
                raise TypeError(f"{type(self).__name__} was given {field.name} twice")
            values[field.name] = value
        for field in fields[len(args) :]:
            values[field.name] = kwargs.pop(field.name) if field.name in kwargs else _default(field)
        for name in kwargs:
            raise TypeError(self._no_field(name))

    @classmethod
    def from_proto(cls: type[Self], message: Any) -> Self:
        """The model of a message; what the message has beyond the model's fields is kept for `to_proto`."""
        made = cls.__new__(cls)
        made._read(to_message(cls.DESCRIPTOR, message))
        return made

    def to_proto(self) -> Any:
        """The message, as it goes over the wire. Raises TypeError or ValueError for what its field can't hold."""
        message = message_class(self.DESCRIPTOR)()
        origin = self._origin
        if origin is not None:
            message.CopyFrom(origin)
            for field, _ in message.ListFields():
                message.ClearField(field.name)
        for name, field, keeps_empty in _fields(self.DESCRIPTOR):
            value = self.__dict__[name]
            if isinstance(value, Model) and value._is_absent():
                continue
            if value or (keeps_empty and value is not None):
                fill(message, field, value)
        return message

    @classmethod
    def _absent(cls: type[Self]) -> Self:
        """What a message that is not set reads as, as with protobuf: it is empty, and false until something is set."""
        made = cls.__new__(cls)
        made.__dict__.update({name: empty() for name, empty in _empty(cls.DESCRIPTOR)}, _was_absent=True)
        return made

    def _is_absent(self) -> bool:
        return "_was_absent" in self.__dict__ and not self.to_proto().ByteSize()

    def __bool__(self) -> bool:
        return not self._is_absent()

    def _read(self, message: Any) -> None:
        values = self.__dict__
        for name, empty in _empty(self.DESCRIPTOR):
            values[name] = empty()
        for field, value in message.ListFields():
            values[_attribute(field.name)] = reader(field)(value)
        values["_origin"] = message

    if not TYPE_CHECKING:
        # To a type checker a model has its fields and nothing else.

        def __getattr__(self, name: str) -> Any:
            if not name[:1].isupper():
                raise AttributeError(self._no_field(name))
            message = self.to_proto()
            found = getattr(message, name)
            if name not in _CHANGES:
                return found

            def change(*args: Any) -> Any:
                result = found(*[arg.to_proto() if isinstance(arg, Model) else arg for arg in args])
                self._read(message)
                return result

            return change

        def __setattr__(self, name: str, value: Any) -> None:
            if name not in self.__dict__:
                raise AttributeError(self._no_field(name))
            self.__dict__[name] = value

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Message):
            return bool(self.to_proto() == other)
        return type(other) is type(self) and self._values() == other._values()

    def __repr__(self) -> str:
        """The fields that say something."""
        said = {name: value for name, value in self._values().items() if value not in (None, "", 0, b"", [], {})}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in said.items())})"

    def __reduce__(self) -> Any:
        # A copy, as well as what is pickled, goes by way of the wire.
        return _from_bytes, (type(self), self.to_proto().SerializeToString())

    def _values(self) -> dict[str, Any]:
        values = {name: value for name, value in self.__dict__.items() if name not in ("_origin", "_was_absent")}
        return {name: None if isinstance(value, Model) and not value else value for name, value in values.items()}

    def _no_field(self, name: str) -> str:
        names = ", ".join(snake_case(field.name) for field in self.DESCRIPTOR.fields)
        return f"{type(self).__name__} has no field {name!r}; it has {names}"


_MODELS: dict[str, type[Model]] = {}

_ENUMS: dict[str, type[ContractEnum]] = {}


def contract_enum(enum: type[Enumerated]) -> type[Enumerated]:
    """Makes an enum the model of the contract's one of that name."""
    _ENUMS[enum.__name__] = enum
    return enum


def _from_bytes(of: type[Model], data: bytes) -> Model:
    return of.from_proto(message_class(of.DESCRIPTOR).FromString(data))


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


_attribute = functools.cache(snake_case)


@functools.cache
def _fields(of: descriptor.Descriptor) -> list[tuple[str, FieldDescriptor, bool]]:
    """Each field's attribute, the field, and whether it can be set to what is empty: 0, "" or a message of nothing."""

    def keeps_empty(field: FieldDescriptor) -> bool:
        return is_optional(field) or (
            field.message_type is not None and not is_repeated(field) and not is_struct(field)
        )

    return [(_attribute(field.name), field, keeps_empty(field)) for field in of.fields]


# -- from the wire -------------------------------------------------------------------------------------------------


@functools.cache
def _empty(of: descriptor.Descriptor) -> list[tuple[str, Callable[[], Any]]]:
    """For each field what it is when the message does not have it."""

    def empty(field: FieldDescriptor) -> Callable[[], Any]:
        if is_map(field):
            return dict
        if is_repeated(field):
            return list
        if field.message_type is not None:
            known = _MODELS.get(field.message_type.full_name)
            if known is not None and of.name not in _NONE_WHEN_UNSET:
                return known._absent
            return Properties if is_struct(field) else lambda: None
        value = None if is_optional(field) else reader(field)(field.default_value)
        return lambda: value

    return [(_attribute(field.name), empty(field)) for field in of.fields]


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
        name = field.message_type.full_name
        if is_struct(field):
            return _read_struct
        if name == "google.protobuf.Value":
            return _read_value
        if name in _WRAPPERS:
            return lambda wrapper: wrapper.value
        known = _MODELS.get(name)
        return (lambda value: value) if known is None else known.from_proto
    if field.enum_type is not None:
        members = list(_ENUMS[field.enum_type.name])
        # A host of tomorrow may have more of them.
        return lambda number: members[number] if number < len(members) else number
    return Json if field.name.endswith("_json") and field.type == field.TYPE_BYTES else lambda value: value


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


def from_json(value: Any) -> Any:
    """A message's fields where a method takes its JSON, as the published SDK's property methods do."""
    return json.loads(value) if isinstance(value, (bytes, str)) else value


# -- to the wire ---------------------------------------------------------------------------------------------------


def fill(message: Any, field: FieldDescriptor, value: Any) -> None:
    """Puts a value of the model into a message; None leaves the field unset.

    Raises TypeError for what is none of the field's, and ValueError for one that can't be sent.
    """
    if value is None:
        return
    try:
        _fill(message, field, value)
    except (TypeError, AttributeError) as error:
        raise TypeError(f"can't take a {type(value).__name__} as {field.name}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"can't take this {type(value).__name__} as {field.name}: {error}") from error


def _fill(message: Any, field: FieldDescriptor, value: Any) -> None:
    of = field.message_type
    if is_map(field):
        of_value = cast("Any", of).fields_by_name["value"].message_type
        target = getattr(message, field.name)
        for key, item in value.items():
            if of_value is None:
                target[key] = item
            else:
                target[key].CopyFrom(to_message(of_value, item))
    elif is_repeated(field):
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise TypeError("that is no list")
        getattr(message, field.name).extend(value if of is None else (to_message(of, item) for item in value))
    elif of is not None:
        getattr(message, field.name).CopyFrom(to_message(of, value))
    elif field.enum_type is not None and isinstance(value, str):
        members = _ENUMS[field.enum_type.name]
        if value not in list(members):
            raise TypeError(f"{value!r} is not a valid {members.__name__}")
        setattr(message, field.name, members(value).number)
    elif isinstance(value, (dict, list)) and field.type == field.TYPE_BYTES:
        setattr(message, field.name, json_bytes(value))
    else:
        setattr(message, field.name, value)


def _struct(values: Mapping[str, Any]) -> Any:
    struct = message_class("google.protobuf.Struct")()
    try:
        struct.update(values)
    except UnicodeError:
        raise
    except ValueError as error:
        # protobuf's word for a value of a type that JSON does not have.
        raise TypeError(error) from None
    return struct


def to_message(of: descriptor.Descriptor, value: Any) -> Any:
    """A message of this kind: from its model, from a message as protobuf has it, or a dict or tuple of its fields."""
    name = of.full_name
    if isinstance(value, Model):
        value = value.to_proto()
    if isinstance(value, Message):
        if type(value) is message_class(of):
            return value
        if value.DESCRIPTOR.full_name == name:
            # Somebody else's stubs of the same contract.
            return message_class(of).FromString(value.SerializeToString())
    elif name == "google.protobuf.Value":
        return _struct({"value": value}).fields["value"]
    elif name == "google.protobuf.Struct" and isinstance(value, Mapping):
        return _struct(value)
    elif name in _MODELS and isinstance(value, Mapping):
        return _MODELS[name](**value).to_proto()
    elif name in _MODELS and isinstance(value, tuple):
        return _MODELS[name](*value).to_proto()
    elif name in _WRAPPERS:
        return message_class(of)(value=value)
    raise TypeError(f"a {of.name} is needed")
