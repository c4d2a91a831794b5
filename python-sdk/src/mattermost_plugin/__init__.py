"""Plugins in Python for effect-plugin-supervisor, and for every host of Mattermost's plugin contract."""

from . import process

if process.started_by_host():
    # Before anything else: what a plugin prints while it is imported must not precede its handshake.
    process.claim_stdout()
    process.claim_token()
    process.keep_grpc_out_of_children()

from . import logs
from .config import HANDSHAKE, RuntimeConfig, load_runtime_config

if process.started_by_host() and HANDSHAKE.started_by_host():
    # As early, so that nothing is lost that is logged while the plugin is imported.
    logs.configure(load_runtime_config().log_level, process.log_stream())

from ._version import __version__
from .client import AsyncPluginAPIClient, PluginAPIClient
from .commands import command
from .exceptions import (
    AlreadyExistsError,
    NotFoundError,
    PermissionDeniedError,
    PluginAPIError,
    UnavailableError,
    ValidationError,
    convert_app_error,
    convert_grpc_error,
)
from .hooks import DISMISS_POST_ERROR, HookName, HookRegistrationError, hook
from .http import ClientDisconnected, HTTPRequest, HTTPResponseWriter
from .jobs import cron, every
from .plugin import Plugin
from .router import Router, include
from .server import run_plugin, serve_plugin
from .settings import SettingsError, read_settings
from .types import Command, CommandResponse

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
    "Router",
    "RuntimeConfig",
    "SettingsError",
    "UnavailableError",
    "ValidationError",
    "__version__",
    "command",
    "convert_app_error",
    "convert_grpc_error",
    "cron",
    "every",
    "hook",
    "include",
    "load_runtime_config",
    "read_settings",
    "run_plugin",
    "serve_plugin",
]
