"""Plugins in Python for effect-plugin-supervisor, and for every host of Mattermost's plugin contract."""

from . import process

# Before anything else: what a plugin prints while it is imported must not precede its handshake.
process.claim_stdout()
process.keep_grpc_out_of_children()

from ._version import __version__  # noqa: E402
from .client import AsyncPluginAPIClient, PluginAPIClient  # noqa: E402
from .config import RuntimeConfig, load_runtime_config  # noqa: E402
from .exceptions import (  # noqa: E402
    AlreadyExistsError,
    NotFoundError,
    PermissionDeniedError,
    PluginAPIError,
    UnavailableError,
    ValidationError,
    convert_app_error,
    convert_grpc_error,
)
from .hooks import DISMISS_POST_ERROR, HookName, HookRegistrationError, hook  # noqa: E402
from .http import ClientDisconnected, HTTPRequest, HTTPResponseWriter  # noqa: E402
from .plugin import Plugin  # noqa: E402
from .server import run_plugin, serve_plugin  # noqa: E402
from .types import Command, CommandResponse  # noqa: E402

__all__ = [
    "DISMISS_POST_ERROR",
    "AlreadyExistsError",
    "AsyncPluginAPIClient",
    "ClientDisconnected",
    "Command",
    "CommandResponse",
    "HTTPRequest",
    "HTTPResponseWriter",
    "HookName",
    "HookRegistrationError",
    "NotFoundError",
    "PermissionDeniedError",
    "Plugin",
    "PluginAPIClient",
    "PluginAPIError",
    "RuntimeConfig",
    "UnavailableError",
    "ValidationError",
    "__version__",
    "convert_app_error",
    "convert_grpc_error",
    "hook",
    "load_runtime_config",
    "run_plugin",
    "serve_plugin",
]
