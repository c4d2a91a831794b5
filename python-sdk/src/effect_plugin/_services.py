"""Services as the engine has them, for whichever protocol they are served by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from google.protobuf.descriptor import ServiceDescriptor

from ._descriptors import ENGINE


class Service(NamedTuple):
    """A service, and the functions that serve its rpcs, by the rpcs' names.

    Each is a coroutine function that is given a request, or an iterator of them, and its call, which has metadata and
    the time that is left. It answers a response, or gives a stream of them to its call, by `write`. For another status
    than OK it raises a `CallError`.
    """

    described: ServiceDescriptor
    methods: Mapping[str, Callable[[Any, Any], Any]]

    @classmethod
    def of_engine(cls, name: str, methods: Mapping[str, Callable[[Any, Any], Any]]) -> Service:
        """One of the engine's own, by its full name."""
        return cls(ENGINE.service(name), methods)
