"""What a call of the host API can raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._status import Code, status_of

if TYPE_CHECKING:
    import grpc


class PluginAPIError(Exception):
    """A call of the host API failed.

    `code` is the gRPC status where the call itself failed, and the one that its HTTP status stands for where the host
    answered an error; `error_id`, `status_code` (HTTP), `detailed_error`, `where` and `params` are the host's then.
    """

    def __init__(
        self,
        message: str,
        code: grpc.StatusCode | Code | None = None,
        error_id: str = "",
        status_code: int = 0,
        detailed_error: str = "",
        where: str = "",
        params: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self._code: Code | None = code if isinstance(code, Code) else Code.of(code.value[0])
        else:
            self._code = _CODES.get(status_code, Code.INTERNAL) if status_code else None
        self.error_id = error_id
        self.status_code = status_code
        self.detailed_error = detailed_error
        self.where = where
        self.params = params or {}

    @property
    def code(self) -> grpc.StatusCode | None:
        """The gRPC status as grpcio has it, which is imported when this is asked for; None where there is none."""
        return None if self._code is None else self._code.grpc

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
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ALREADY_EXISTS,
    429: Code.RESOURCE_EXHAUSTED,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}

_BY_CODE: dict[Code, type[PluginAPIError]] = {
    Code.NOT_FOUND: NotFoundError,
    Code.PERMISSION_DENIED: PermissionDeniedError,
    Code.UNAUTHENTICATED: PermissionDeniedError,
    Code.INVALID_ARGUMENT: ValidationError,
    Code.FAILED_PRECONDITION: ValidationError,
    Code.OUT_OF_RANGE: ValidationError,
    Code.ALREADY_EXISTS: AlreadyExistsError,
    Code.UNAVAILABLE: UnavailableError,
    Code.DEADLINE_EXCEEDED: UnavailableError,
    Code.RESOURCE_EXHAUSTED: UnavailableError,
    Code.UNIMPLEMENTED: NotImplementedByHostError,
}


#: How the details begin where the host's contract has the method, and its backend does not.
_NOT_PROVIDED = "api.plugin.not_implemented:"


def convert_grpc_error(error: Exception, rpc: str = "") -> PluginAPIError:
    """The exception for a call that failed with a gRPC status. `rpc` names what was called, if that is known."""
    code, details = status_of(error)
    if code is Code.UNIMPLEMENTED and rpc:
        if (details or "").startswith(_NOT_PROVIDED):
            reason = "its backend does not provide it"
        else:
            reason = "its contract is older than the one that the plugin is made for"
        said = f" ({details})" if details else ""
        return NotImplementedByHostError(f"the host does not have {rpc}; {reason}{said}", code=code)
    kind = _BY_CODE.get(code, PluginAPIError) if code is not None else PluginAPIError
    return kind(details or (str(error) if code is None else f"StatusCode.{code.name}"), code=code)
