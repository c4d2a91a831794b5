"""How calls end, whatever they travel by: gRPC's codes, without gRPC."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc


class Code(IntEnum):
    """gRPC's status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    @classmethod
    def of(cls, number: int) -> Code:
        """The one of this number; UNKNOWN where there is none."""
        try:
            return cls(number)
        except ValueError:
            return cls.UNKNOWN

    @property
    def grpc(self) -> grpc.StatusCode:
        """The same as grpcio has it, which this imports."""
        import grpc

        return grpc.StatusCode[self.name]


class CallError(Exception):
    """A call that has ended with another status than OK. What serves a call raises it, what makes one is raised it.

    `status` is a google.rpc.Status, in bytes, where there are details of that kind.
    """

    def __init__(self, code: Code, details: str, status: bytes = b"") -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.status = status


def status_of(error: Any) -> tuple[Code | None, str]:
    """The status that an exception tells of, a CallError or one of grpcio's; None and "" for none."""
    if isinstance(error, CallError):
        return error.code, error.details
    # Only its names are known here: nothing that does not speak gRPC is to import it.
    code = error.code() if callable(getattr(error, "code", None)) else None
    details = error.details() if callable(getattr(error, "details", None)) else None
    return None if code is None else Code.of(code.value[0]), details or ""
