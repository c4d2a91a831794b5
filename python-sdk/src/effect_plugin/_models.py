"""The one model of what a contract is about: dataclasses, which hooks are handed and may return, and which the host API
takes and answers.

Their declarations are generated (`types`), the way to and from the wire follows from the messages' descriptors.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import InitVar
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Callable, ClassVar, TypeVar, cast

from google.protobuf import descriptor
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ._descriptors import OfModels, message_class, rules_of
from ._enums import ENUMS, contract_enum
from ._fields import is_map, is_optional, is_repeated, is_struct
from ._generator.names import attribute_of
from ._well_known import READERS, Properties, to_well_known

__all__ = [
    "Json",
    "Model",
    "Properties",
    "contract_enum",
    "fill",
    "from_json",
    "has_model",
    "is_there",
    "json_bytes",
    "may_be_absent",
    "model",
    "model_of",
    "one_or_all",
    "reader",
    "to_message",
    "value_reader",
]

if TYPE_CHECKING:
    from dataclasses import dataclass as model
else:
    # Made-up methods would have to be compiled one by one for every class: a tenth of a second at each plugin's start.
    _dataclass = dataclasses.dataclass(init=False, repr=False, eq=False)

    class _Declared:
        """What a class of fields has of a dataclass, once somebody asks: most plugins never do of most models."""

        def __init__(self, name: str, model: type, namespace: dict[str, Any]) -> None:
            self._name = name
            self._model = model
            self._namespace = namespace

        def __get__(self, instance: object, owner: type) -> Any:
            model = self._model
            with _DECLARING:
                if isinstance(vars(model)["__dataclass_fields__"], _Declared):
                    # Of a class like it: its own attributes are what reads its fields.
                    like = _dataclass(type(model.__name__, model.__bases__, self._namespace))
                    model.__dataclass_params__ = like.__dataclass_params__
                    # Patterns match fields alone.
                    model.__match_args__ = tuple(field.name for field in dataclasses.fields(like))
                    model.__dataclass_fields__ = like.__dataclass_fields__
            return vars(model)[self._name]

    #: To make a model has those made that it is a subclass of.
    _DECLARING = threading.RLock()

    #: What begins the annotation of an attribute that is no field.
    _NO_FIELDS = ("ClassVar", "InitVar")

    def model(cls: type) -> type:
        """Makes a model of a class of fields."""
        annotations = (
            inspect.get_annotations(cls) if sys.version_info >= (3, 10) else vars(cls).get("__annotations__", {})
        )
        names = [name for name, what in annotations.items() if not str(what).startswith(_NO_FIELDS)]
        given = {name: value for name, value in vars(cls).items() if name in annotations}
        namespace = {"__module__": cls.__module__, "__annotations__": annotations, **given}
        for name in ("__dataclass_fields__", "__match_args__"):
            setattr(cls, name, _Declared(name, cls, namespace))
        for name in names:
            setattr(cls, name, _Unread(name, given.get(name, dataclasses.MISSING)))
        return cls


Self = TypeVar("Self", bound="Model")

#: Methods of protobuf's messages that change them.
_CHANGES = {"Clear", "ClearField", "CopyFrom", "MergeFrom", "MergeFromString", "ParseFromString"}


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


class _Unread:
    """A field of a model of which nobody has asked yet: what a message says of it is read then, and kept."""

    __slots__ = ("_default", "_name")

    def __init__(self, name: str, default: Any) -> None:
        self._name = name
        self._default = default

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None:
            values = _values_of(instance)
            value = _readers(owner.DESCRIPTOR)[self._name](values["_origin"])  # type: ignore[attr-defined]
            # Another thread may have read it meanwhile, and changed what it found, or may have set it.
            return values.setdefault(self._name, value)
        if self._default is dataclasses.MISSING or isinstance(self._default, dataclasses.Field):
            raise AttributeError(f"{owner.__name__} has no {self._name} of its own")
        return self._default


class _Instance:
    """Where instances have their attributes, whatever a subclass says of `__dict__`."""


_values_of: Callable[[Any], dict[str, Any]] = _Instance.__dict__["__dict__"].__get__


@model
class Model(_Instance):
    """What all models have in common. Each is a dataclass that can be changed; every field has a default.

    Code written for protobuf's messages goes on working: `HasField`, `CopyFrom`, `json_format.MessageToDict` and so on.
    """

    #: The message that this is the model of.
    DESCRIPTOR: ClassVar[descriptor.Descriptor]

    #: Whether fields that are messages read as None when they are not set, whatever the contract's rule.
    NONE_WHEN_UNSET: ClassVar[bool] = False

    __signature__ = _Signature()

    if TYPE_CHECKING:
        _origin: ClassVar[Any]
    else:
        #: The message that this was read from, with what it has beyond the model's fields. It is no field, but
        #: `dataclasses.replace` hands it on.
        _origin: InitVar[Any] = None

    def __init_subclass__(cls) -> None:
        # A subclass of a model is one for the same message.
        if "DESCRIPTOR" in vars(cls):
            _MODELS[cls.DESCRIPTOR] = cls

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields = dataclasses.fields(cast("Any", type(self)))
        if len(args) > len(fields):
            raise TypeError(f"{type(self).__name__} has {len(fields)} fields, {len(args)} were given")
        values = _values_of(self)
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
        return cls._of(to_message(cls.DESCRIPTOR, message))

    @classmethod
    def _of(cls: type[Self], message: Any) -> Self:
        made = cls.__new__(cls)
        _values_of(made)["_origin"] = message
        return made

    def to_proto(self) -> Any:
        """The message, as it goes over the wire. Raises TypeError or ValueError for what its field can't hold."""
        message = message_class(self.DESCRIPTOR)()
        values = _values_of(self)
        origin = values["_origin"]
        if origin is not None:
            message.CopyFrom(origin)
        for name, field, keeps_empty in _fields(self.DESCRIPTOR):
            if name not in values:
                # As it was read from.
                continue
            value = values[name]
            if origin is not None:
                message.ClearField(field.name)
            if isinstance(value, Model) and value._is_absent():
                continue
            if value or (keeps_empty and value is not None):
                fill(message, field, value)
        return message

    @classmethod
    def _absent(cls: type[Self]) -> Self:
        """What a message that is not set reads as, as with protobuf: it is empty, and false until something is set."""
        made = cls.__new__(cls)
        _values_of(made).update(_origin=None, _was_absent=True)
        return made

    def _is_absent(self) -> bool:
        return "_was_absent" in _values_of(self) and not self.to_proto().ByteSize()

    def __bool__(self) -> bool:
        return not self._is_absent()

    if not TYPE_CHECKING:
        # To a type checker a model has its fields and nothing else.

        @property
        def __dict__(self) -> dict[str, Any]:
            values = _values_of(self)
            for name in _readers(self.DESCRIPTOR):
                getattr(self, name)
            return values

        def __getattr__(self, name: str) -> Any:
            if not name[:1].isupper():
                raise AttributeError(self._no_field(name))
            message = self.to_proto()
            found = getattr(message, name)
            if name not in _CHANGES:
                return found

            def change(*args: Any) -> Any:
                result = found(*[arg.to_proto() if isinstance(arg, Model) else arg for arg in args])
                values = _values_of(self)
                values.clear()
                values["_origin"] = message
                return result

            return change

        def __setattr__(self, name: str, value: Any) -> None:
            values = _values_of(self)
            if name not in values and name not in _readers(self.DESCRIPTOR):
                raise AttributeError(self._no_field(name))
            values[name] = value

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
        values = {name: getattr(self, name) for name in _readers(self.DESCRIPTOR)}
        return {name: None if isinstance(value, Model) and not value else value for name, value in values.items()}

    def _no_field(self, name: str) -> str:
        names = ", ".join(attribute_of(field.name) for field in self.DESCRIPTOR.fields)
        return f"{type(self).__name__} has no field {name!r}; it has {names}"


#: The models by their messages. Descriptors are of one pool, so that contracts may have the same names.
_MODELS: OfModels[type[Model]] = OfModels()


def _from_bytes(of: type[Model], data: bytes) -> Model:
    return of.from_proto(message_class(of.DESCRIPTOR).FromString(data))


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


@functools.cache
def _fields(of: descriptor.Descriptor) -> list[tuple[str, FieldDescriptor, bool]]:
    """Each field's attribute, the field, and whether it can be set to what is empty: 0, "" or a message of nothing."""

    def keeps_empty(field: FieldDescriptor) -> bool:
        return is_optional(field) or (
            field.message_type is not None and not is_repeated(field) and not is_struct(field)
        )

    return [(attribute_of(field.name), field, keeps_empty(field)) for field in of.fields]


# -- from the wire -------------------------------------------------------------------------------------------------


@functools.cache
def _readers(of: descriptor.Descriptor) -> dict[str, Callable[[Any], Any]]:
    """For each field, by its attribute, what a message says of it; None is what says nothing."""

    def reads(field: FieldDescriptor) -> Callable[[Any], Any]:
        name, read, empty = field.name, reader(field), _empty(of, field)
        if field.has_presence:
            return lambda message: (
                read(getattr(message, name)) if message is not None and message.HasField(name) else empty()
            )
        return lambda message: empty() if message is None else read(getattr(message, name))

    return {attribute_of(field.name): reads(field) for field in of.fields}


def _empty(of: descriptor.Descriptor, field: FieldDescriptor) -> Callable[[], Any]:
    """What a field is when its message does not have it."""
    if is_map(field):
        return dict
    if is_repeated(field):
        return list
    if field.message_type is not None:
        known = _MODELS.get(field.message_type)
        reads_empty = rules_of(of).unset_is_empty and not _MODELS[of].NONE_WHEN_UNSET
        if known is not None:
            return known._absent if reads_empty else lambda: None
        if is_optional(field):
            return lambda: None
        if field.message_type.full_name == "google.protobuf.ListValue":
            return list
        return Properties if is_struct(field) else lambda: None
    value = None if is_optional(field) else reader(field)(field.default_value)
    return lambda: value


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
        known = _MODELS.get(field.message_type)
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
    if may_be_absent(field):
        return lambda message: read(get(message)) if is_there(message, field) else None
    return lambda message: read(get(message))


def one_or_all(readers: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Reads what there is of a message: nothing, one thing, or a tuple of several."""
    if len(readers) == 1:
        return readers[0]
    return lambda message: tuple(read(message) for read in readers) if readers else None


def is_there(message: Any, field: FieldDescriptor) -> bool:
    """Whether a field has something to read. A message of the contract's always has, unless it is declared optional."""
    return not may_be_absent(field) or bool(message.HasField(field.name))


def may_be_absent(field: FieldDescriptor) -> bool:
    """Whether a field may have nothing to read."""
    if is_optional(field):
        return True
    if field.message_type is None or is_repeated(field) or field.message_type in _MODELS:
        return False
    # An empty object, or list, is as good as none.
    return field.message_type.name not in ("Struct", "ListValue")


def has_model(message: descriptor.Descriptor) -> bool:
    """Whether a message has a model."""
    return message in _MODELS


def model_of(message: descriptor.Descriptor) -> type[Model]:
    """The model of a message. Raises KeyError for one that has none, as requests and responses have none."""
    return _MODELS[message]


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
    known = _MODELS.get(of)
    if isinstance(value, Model):
        value = value.to_proto()
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
