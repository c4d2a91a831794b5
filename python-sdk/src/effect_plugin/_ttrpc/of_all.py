"""What every plugin is asked, which is answered whatever its handlers do."""

from __future__ import annotations

from typing import Any, Callable

from google.protobuf.message import DecodeError

from .._health import health_of
from .._status import CallError, Code
from .._stopping import Stopping
from . import wire

_HEALTH = "grpc.health.v1.Health"
_CONTROLLER = "plugin.GRPCController"

#: The services of every plugin.
SERVICES = (wire.CALLS, _CONTROLLER, _HEALTH)


class OfAll:
    """Answers that. `cancel` ends the call of a stream, if there is one."""

    def __init__(self, stopping: Stopping, cancel: Callable[[int], object]) -> None:
        self._stopping = stopping
        self._cancel = cancel
        #: Whether the host has asked for the end, after which it may close the connection.
        self.is_asked_to_end = False

    def answer(self, asked: Any) -> bytes | None:
        """The response to a request; None where it is none of these. Raises CallError."""
        name = f"{asked.service}/{asked.method}"
        try:
            if name == f"{wire.CALLS}/Cancel":
                self._cancel(wire.cancelled_stream(asked.payload))
                return b""
            if name == f"{_CONTROLLER}/Shutdown":
                self.is_asked_to_end = True
                return b""
            if name != f"{_HEALTH}/Check":
                return None
            service = wire.HealthRequest.FromString(asked.payload).service
        except DecodeError:
            raise CallError(Code.INVALID_ARGUMENT, f"this is no request of {name}") from None
        response = health_of(service, self._stopping)
        if response is None:
            raise CallError(Code.NOT_FOUND, f"no service {service!r}")
        payload: bytes = response.SerializeToString()
        return payload
