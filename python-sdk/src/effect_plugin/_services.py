"""Services as the engine has them, for whichever protocol they are served by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from google.protobuf.descriptor import ServiceDescriptor

from ._descriptors import ENGINE


class Service(NamedTuple):
    """A service, and the functions that serve its rpcs, by the rpcs' names.

    Each is given a request and its call, which has metadata and the time that is left. One that answers once is a
    coroutine function, and raises a `CallError` for another status than OK. What streams is served by gRPC alone.
    """

    described: ServiceDescriptor
    methods: Mapping[str, Callable[[Any, Any], Any]]

    @classmethod
    def of_engine(cls, name: str, methods: Mapping[str, Callable[[Any, Any], Any]]) -> Service:
        """One of the engine's own, by its full name."""
        return cls(ENGINE.service(name), methods)
