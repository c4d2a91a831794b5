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
from dataclasses import InitVar
from typing import TYPE_CHECKING, Any, Callable, ClassVar, TypeVar, cast

from google.protobuf import descriptor
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ._descriptors import message_class, rules_of
from ._enums import contract_enum
from ._fields import is_map, is_optional, is_repeated, is_struct
from ._generator.names import attribute_of
from ._values import MODELS, ModelBase, fill, reader, to_message, values_of
from ._well_known import Properties

__all__ = ["Model", "contract_enum", "model"]

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
            values = values_of(instance)
            value = _readers(owner.DESCRIPTOR)[self._name](values["_origin"])  # type: ignore[attr-defined]
            # Another thread may have read it meanwhile, and changed what it found, or may have set it.
            return values.setdefault(self._name, value)
        if self._default is dataclasses.MISSING or isinstance(self._default, dataclasses.Field):
            raise AttributeError(f"{owner.__name__} has no {self._name} of its own")
        return self._default


@model
class Model(ModelBase):
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
            MODELS[cls.DESCRIPTOR] = cls

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields = dataclasses.fields(cast("Any", type(self)))
        if len(args) > len(fields):
            raise TypeError(f"{type(self).__name__} has {len(fields)} fields, {len(args)} were given")
        values = values_of(self)
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
        values_of(made)["_origin"] = message
        return made

    def to_proto(self) -> Any:
        """The message, as it goes over the wire. Raises TypeError or ValueError for what its field can't hold."""
        message = message_class(self.DESCRIPTOR)()
        values = values_of(self)
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
        values_of(made).update(_origin=None, _was_absent=True)
        return made

    def _is_absent(self) -> bool:
        return "_was_absent" in values_of(self) and not self.to_proto().ByteSize()

    def __bool__(self) -> bool:
        return not self._is_absent()

    if not TYPE_CHECKING:
        # To a type checker a model has its fields and nothing else.

        @property
        def __dict__(self) -> dict[str, Any]:
            values = values_of(self)
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
                values = values_of(self)
                values.clear()
                values["_origin"] = message
                return result

            return change

        def __setattr__(self, name: str, value: Any) -> None:
            values = values_of(self)
            if name not in values and name not in _readers(self.DESCRIPTOR):
                raise AttributeError(self._no_field(name))
            values[name] = value

    def __replace__(self: Self, /, **changes: Any) -> Self:
        # What `copy.replace` calls.
        return dataclasses.replace(cast("Any", self), **changes)  # type: ignore[no-any-return]

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
        known = MODELS.get(field.message_type)
        reads_empty = rules_of(of).unset_is_empty and not MODELS[of].NONE_WHEN_UNSET
        if known is not None:
            return known._absent if reads_empty else lambda: None
        if is_optional(field):
            return lambda: None
        if field.message_type.full_name == "google.protobuf.ListValue":
            return list
        return Properties if is_struct(field) else lambda: None
    value = None if is_optional(field) else reader(field)(field.default_value)
    return lambda: value
