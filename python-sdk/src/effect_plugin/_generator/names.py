"""How names of `.proto` files are written in Python."""

from __future__ import annotations

import functools
import keyword
import re

#: Names that an attribute of a model, or an argument, can't have: those of `Model` itself, and `self`.
_TAKEN = frozenset({"self", "from_proto", "to_proto"})

#: Names of the clients' own methods and properties, which no rpc can have.
_TAKEN_OF_CLIENTS = frozenset({"close", "connect", "connect_ahead", "connected", "target", "token", "with_timeout"})


def snake_case(name: str) -> str:
    """A name of the contract as a Python name: `KVSetWithOptions` becomes `kv_set_with_options`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@functools.cache
def attribute_of(field: str) -> str:
    """What a field is called in Python: `from` is `from_`, since Python has another use for that word."""
    name = snake_case(field)
    return f"{name}_" if keyword.iskeyword(name) or name in _TAKEN else name


@functools.cache
def method_of(rpc: str) -> str:
    """What an rpc's method of the client is called."""
    name = snake_case(rpc)
    return f"{name}_" if keyword.iskeyword(name) or name in _TAKEN_OF_CLIENTS else name
