"""Plugins in Python for hosts of any contract: what does not depend on the contract.

A contract's own package, which `python -m effect_plugin.generate` makes of its `.proto` files, is built on this one;
`mattermost_plugin` is, too.
"""

from typing import TYPE_CHECKING

from . import _process
from ._lazy import lazily
from ._ttrpc import offered as _offered
from ._version import __version__

if _process.started_by_host():
    # Before anything else: what a plugin prints while it is imported must not precede its handshake.
    _process.claim_stdout()
    _process.claim_token()
    _process.keep_grpc_out_of_children()
    _offered.claim()

if TYPE_CHECKING:
    from ._config import RuntimeConfig
    from ._exceptions import (
        AlreadyExistsError,
        NotFoundError,
        NotImplementedByHostError,
        PermissionDeniedError,
        PluginAPIError,
        UnavailableError,
        ValidationError,
    )
    from ._hooks import HookRegistrationError
    from ._jobs import cron, every
    from ._plugin import Plugin
    from ._router import Router, include
    from ._server import run_plugin, serve_plugin
    from ._settings import SettingsError, read_settings
    from .contract import Contract
    from .http import ClientDisconnected, HTTPRequest, HTTPResponseWriter
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_body": ("ClientDisconnected",),
            "_config": ("RuntimeConfig",),
            "_exceptions": (
                "AlreadyExistsError",
                "NotFoundError",
                "NotImplementedByHostError",
                "PermissionDeniedError",
                "PluginAPIError",
                "UnavailableError",
                "ValidationError",
            ),
            "_hooks": ("HookRegistrationError",),
            "_jobs": ("cron", "every"),
            "_plugin": ("Plugin",),
            "_router": ("Router", "include"),
            "_server": ("run_plugin", "serve_plugin"),
            "_settings": ("SettingsError", "read_settings"),
            "contract": ("Contract",),
            "http": ("HTTPRequest", "HTTPResponseWriter"),
        },
        ("contract", "host", "http", "logs"),
    )

__all__ = [
    "AlreadyExistsError",
    "ClientDisconnected",
    "Contract",
    "HTTPRequest",
    "HTTPResponseWriter",
    "HookRegistrationError",
    "NotFoundError",
    "NotImplementedByHostError",
    "PermissionDeniedError",
    "Plugin",
    "PluginAPIError",
    "Router",
    "RuntimeConfig",
    "SettingsError",
    "UnavailableError",
    "ValidationError",
    "__version__",
    "cron",
    "every",
    "include",
    "read_settings",
    "run_plugin",
    "serve_plugin",
]
