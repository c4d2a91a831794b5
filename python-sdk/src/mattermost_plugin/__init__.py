"""Plugins in Python for effect-plugin-supervisor, and for every host of Mattermost's plugin contract."""

from typing import TYPE_CHECKING

from effect_plugin import __version__
from effect_plugin._lazy import lazily, loading

with loading():
    # Before anything else of the plugin's is imported: from here on what is logged is sent to the host.
    from . import _contract as _contract

if TYPE_CHECKING:
    from .client import AsyncPluginAPIClient, PluginAPIClient
    from .commands import command
    from .config import RuntimeConfig, load_runtime_config
    from .exceptions import (
        AlreadyExistsError,
        NotFoundError,
        NotImplementedByHostError,
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
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "client": ("AsyncPluginAPIClient", "PluginAPIClient"),
            "commands": ("command",),
            "config": ("RuntimeConfig", "load_runtime_config"),
            "exceptions": (
                "AlreadyExistsError",
                "NotFoundError",
                "NotImplementedByHostError",
                "PermissionDeniedError",
                "PluginAPIError",
                "UnavailableError",
                "ValidationError",
                "convert_app_error",
                "convert_grpc_error",
            ),
            "hooks": ("DISMISS_POST_ERROR", "HookName", "HookRegistrationError", "hook"),
            "http": ("ClientDisconnected", "HTTPRequest", "HTTPResponseWriter"),
            "jobs": ("cron", "every"),
            "plugin": ("Plugin",),
            "router": ("Router", "include"),
            "server": ("run_plugin", "serve_plugin"),
            "settings": ("SettingsError", "read_settings"),
            "types": ("Command", "CommandResponse"),
        },
        (
            "client",
            "commands",
            "config",
            "exceptions",
            "hooks",
            "http",
            "jobs",
            "models",
            "plugin",
            "router",
            "server",
            "settings",
            "types",
        ),
    )

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
    "NotImplementedByHostError",
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
