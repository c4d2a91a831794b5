"""A plugin's settings as a class of its own: a dataclass, or a pydantic model."""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Mapping
from typing import Any, Callable, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Settings = TypeVar("Settings")

#: How settings of type `bool` are written, where a text is all there is.
_BOOLEANS = {"true": True, "false": False}

_UNIONS = {Union, getattr(types, "UnionType", Union)}


class SettingsError(ValueError):
    """Settings that an operator has to change; the text says which, and to what."""


class _UnknownTypeError(Exception):
    """A field is of a type that settings have no values of."""


def read_settings(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Makes a plugin's configuration an instance of a dataclass or of a pydantic model.

    Hosts hand settings out in lower case: `MaxLength` of a manifest is the field `max_length` or `maxlength`. What is
    not set, or empty where a text would not do, is the field's default. Raises SettingsError, which names every setting
    that is wrong, and TypeError for a class that is neither, or has fields of other types than `str`, `int`, `float`,
    `bool`, `list` (also of texts with commas), `Literal`, enums, these or None, and `Any`, which takes JSON as it is.
    """
    given = {_plain(key): value for key, value in values.items()}
    if hasattr(kind, "model_validate"):
        return cast("Settings", _pydantic(kind, given))
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"settings are a dataclass or a pydantic model; {kind!r} is neither")
    hints = get_type_hints(kind)
    read: dict[str, Any] = {}
    problems: list[str] = []
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        value = given.get(_plain(field.name))
        if value is None or (value == "" and not _takes_text(hints[field.name])):
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                problems.append(f"{field.name} has to be set")
            continue
        try:
            read[field.name] = _converted(hints[field.name], value)
        except ValueError as error:
            problems.append(f"{field.name} {error}")
        except _UnknownTypeError:
            raise TypeError(
                f"{kind.__name__}.{field.name}: settings have no values of type {hints[field.name]!r}; there are str, "
                "int, float, bool, list, Literal, enums, these or None, and Any for what is JSON (an object, say)"
            ) from None
    if problems:
        raise SettingsError(f"settings: {'; '.join(problems)}")
    try:
        return cast("Settings", kind(**read))
    except ValueError as error:
        # Its own rules, of `__post_init__`.
        raise SettingsError(f"settings: {error}") from error


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _pydantic(kind: Any, given: Mapping[str, Any]) -> Any:
    names = {_plain(field.alias or name): field.alias or name for name, field in kind.model_fields.items()}
    try:
        return kind.model_validate({names[key]: value for key, value in given.items() if key in names})
    except ValueError as error:
        errors = cast("Any", error).errors() if hasattr(error, "errors") else []
        said = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in errors] or [str(error)]
        raise SettingsError(f"settings: {'; '.join(said)}") from error


def _takes_text(kind: Any) -> bool:
    return kind is str or kind is Any or (get_origin(kind) in _UNIONS and any(map(_takes_text, get_args(kind))))


def _converted(kind: Any, value: Any) -> Any:
    """A value as a field's type has it; ValueError says what it should be."""
    if kind is Any:
        return value
    origin = get_origin(kind)
    if origin in _UNIONS:
        return _first_of([each for each in get_args(kind) if each is not type(None)], value)
    if origin is Literal:
        return _one_of({str(each): each for each in get_args(kind)}, value)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _one_of({str(each.value): each for each in kind}, value)
    if kind is list or origin is list:
        items = [item.strip() for item in value.split(",")] if isinstance(value, str) else value
        if not isinstance(items, list):
            raise ValueError(f"has to be a list, and is {value!r}")
        of = (get_args(kind) or (Any,))[0]
        return [_converted(of, item) for item in items if item != ""]
    if kind not in _SIMPLE:
        raise _UnknownTypeError
    try:
        return _SIMPLE[kind](value)
    except (TypeError, ValueError):
        raise ValueError(f"has to be {_NAMES[kind]}, and is {value!r}") from None


def _first_of(kinds: list[Any], value: Any) -> Any:
    for kind in kinds[:-1]:
        try:
            return _converted(kind, value)
        except ValueError:
            pass
    return _converted(kinds[-1], value)


def _one_of(values: Mapping[str, Any], value: Any) -> Any:
    if str(value) not in values:
        raise ValueError(f"has to be one of {', '.join(values)}, and is {value!r}")
    return values[str(value)]


def _text(value: Any) -> str:
    if isinstance(value, (dict, list, bool)):
        raise TypeError
    return str(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _truth(value: Any) -> bool:
    if isinstance(value, str):
        value = _BOOLEANS.get(value.strip().lower())
    if not isinstance(value, bool):
        raise TypeError
    return value


_SIMPLE: dict[Any, Callable[[Any], Any]] = {str: _text, int: _whole, float: _number, bool: _truth}

_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
