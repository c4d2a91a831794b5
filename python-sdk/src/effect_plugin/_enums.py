"""Enums as the models of a contract's."""

from __future__ import annotations

import functools
import operator
from enum import Enum
from typing import Any, Callable, NamedTuple, TypeVar

from google.protobuf import descriptor

from ._descriptors import OfModels

Enumerated = TypeVar("Enumerated", bound=Enum)


class EnumModel(NamedTuple):
    """How an enum's numbers are written in Python."""

    enum: type[Enum]
    #: The member of a number; the number where there is none, as from a host of tomorrow.
    read: Callable[[int], Any]
    #: The number of what is given. Raises ValueError for what is none.
    write: Callable[[Any], int]


ENUMS: OfModels[EnumModel] = OfModels()


def contract_enum(
    of: descriptor.EnumDescriptor,
    read: Callable[[Any, int], Any] | None = None,
    write: Callable[[Any, Any], int] | None = None,
) -> Callable[[type[Enumerated]], type[Enumerated]]:
    """Makes an enum the model of a contract's, whose values are the numbers.

    One with other values says how those are read and written, by functions that are given the enum's class first.
    """

    def register(enum: type[Enumerated]) -> type[Enumerated]:
        ENUMS[of] = EnumModel(
            enum, functools.partial(read or _read_number, enum), functools.partial(write or _write_number, enum)
        )
        return enum

    return register


def _read_number(enum: Any, number: int) -> Any:
    try:
        return enum(number)
    except ValueError:
        return number


def _write_number(enum: Any, value: Any) -> int:
    return operator.index(enum[value] if isinstance(value, str) else value)
