"""What a call of the host API can raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from effect_plugin._exceptions import (
    AlreadyExistsError,
    NotFoundError,
    NotImplementedByHostError,
    PermissionDeniedError,
    PluginAPIError,
    UnavailableError,
    ValidationError,
    convert_grpc_error,
)

if TYPE_CHECKING:
    from .types import AppError

__all__ = [
    "AlreadyExistsError",
    "NotFoundError",
    "NotImplementedByHostError",
    "PermissionDeniedError",
    "PluginAPIError",
    "UnavailableError",
    "ValidationError",
    "convert_app_error",
    "convert_grpc_error",
    "to_app_error",
]

_BY_STATUS: dict[int, type[PluginAPIError]] = {
    400: ValidationError,
    401: PermissionDeniedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: AlreadyExistsError,
    429: UnavailableError,
    501: NotImplementedByHostError,
    503: UnavailableError,
}


def to_app_error(error: PluginAPIError) -> AppError:
    """The error that a host answers, for which `convert_app_error` makes this exception."""
    from .types import AppError

    status = next((status for status, kind in _BY_STATUS.items() if type(error) is kind), 500)
    return AppError(
        id=error.error_id or "plugin_api.error",
        message=error.message,
        status_code=error.status_code or status,
        detailed_error=error.detailed_error,
        where=error.where,
        params=error.params,
    )


def convert_app_error(error: Any) -> PluginAPIError:
    """The exception for an error the host answered: an AppError, as the model or as protobuf has it."""
    from .types import AppError

    if not isinstance(error, AppError):
        error = AppError.from_proto(error)
    kind = _BY_STATUS.get(error.status_code, PluginAPIError)
    return kind(
        error.message or error.id,
        error_id=error.id,
        status_code=error.status_code,
        detailed_error=error.detailed_error,
        where=error.where,
        params=dict(error.params),
    )
