"""What a call of the host API can raise."""

from __future__ import annotations

from typing import Any

import grpc


class PluginAPIError(Exception):
    """A call of the host API failed.

    `code` is the gRPC status where the call itself failed, and the one that its HTTP status stands for where the host
    answered an error; `error_id`, `status_code` (HTTP), `detailed_error`, `where` and `params` are the host's then.
    """

    def __init__(
        self,
        message: str,
        code: grpc.StatusCode | None = None,
        error_id: str = "",
        status_code: int = 0,
        detailed_error: str = "",
        where: str = "",
        params: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None or not status_code else _CODES.get(status_code, grpc.StatusCode.INTERNAL)
        self.error_id = error_id
        self.status_code = status_code
        self.detailed_error = detailed_error
        self.where = where
        self.params = params or {}

    def __str__(self) -> str:
        error_id = f" [{self.error_id}]" if self.error_id not in ("", self.message) else ""
        return f"{self.message}{error_id}{f' (HTTP {self.status_code})' if self.status_code else ''}"


class NotFoundError(PluginAPIError):
    """There is no such thing."""


class PermissionDeniedError(PluginAPIError):
    """The plugin may not do that."""


class ValidationError(PluginAPIError):
    """An argument is wrong."""


class AlreadyExistsError(PluginAPIError):
    """There is such a thing already."""


class UnavailableError(PluginAPIError):
    """The host can't answer now: it is gone, busy, or too slow."""


class NotImplementedByHostError(PluginAPIError):
    """The host has no such method: its contract is older than the plugin's, or its backend does not provide it."""


#: The gRPC statuses that HTTP's stand for.
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ALREADY_EXISTS,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

_BY_CODE: dict[grpc.StatusCode, type[PluginAPIError]] = {
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: PermissionDeniedError,
    grpc.StatusCode.INVALID_ARGUMENT: ValidationError,
    grpc.StatusCode.FAILED_PRECONDITION: ValidationError,
    grpc.StatusCode.OUT_OF_RANGE: ValidationError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: UnavailableError,
    grpc.StatusCode.UNIMPLEMENTED: NotImplementedByHostError,
}


#: How the details begin where the host's contract has the method, and its backend does not.
_NOT_PROVIDED = "api.plugin.not_implemented:"


def convert_grpc_error(error: grpc.RpcError, rpc: str = "") -> PluginAPIError:
    """The exception for a call that failed with a gRPC status. `rpc` names what was called, if that is known."""
    code = error.code() if callable(getattr(error, "code", None)) else None
    details = error.details() if callable(getattr(error, "details", None)) else None
    if code is grpc.StatusCode.UNIMPLEMENTED and rpc:
        if (details or "").startswith(_NOT_PROVIDED):
            reason = "its backend does not provide it"
        else:
            reason = "its contract is older than the one that the plugin is made for"
        said = f" ({details})" if details else ""
        return NotImplementedByHostError(f"the host does not have {rpc}; {reason}{said}", code=code)
    kind = _BY_CODE.get(code, PluginAPIError) if code is not None else PluginAPIError
    return kind(details or str(code or error), code=code)
