"""What the host tells a plugin through its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .goplugin.handshake import HandshakeConfig
from .logs import own_logger

#: What Mattermost's plugins and hosts agree on.
HANDSHAKE = HandshakeConfig("MATTERMOST_PLUGIN", "Securely message teams, anywhere.")

#: The app protocol version of the contract.
PROTOCOL_VERSION = 1

#: Seconds a handler may take when neither the call nor the host says: the contract's own limit.
DEFAULT_HOOK_TIMEOUT = 30.0

_log = own_logger("mattermost_plugin")


@dataclass(frozen=True)
class RuntimeConfig:
    """The plugin's surroundings; see `load_runtime_config`."""

    plugin_id: str = ""
    #: gRPC target of the host API; empty when there is none.
    api_target: str = ""
    #: The bundle's folder.
    plugin_path: str = ""
    #: Seconds a handler may take, where a call brings no deadline of its own.
    hook_timeout: float = DEFAULT_HOOK_TIMEOUT
    #: Name of the lowest level that is logged.
    log_level: str = "INFO"

    @classmethod
    def from_env(cls) -> RuntimeConfig:
        """See `load_runtime_config`."""
        return load_runtime_config()


def load_runtime_config() -> RuntimeConfig:
    """Reads MATTERMOST_PLUGIN_ID, _API_TARGET (else MATTERMOST_API_TARGET), _PATH, _HOOK_TIMEOUT and _LOG_LEVEL."""
    timeout = os.environ.get("MATTERMOST_PLUGIN_HOOK_TIMEOUT", "")
    try:
        hook_timeout = float(timeout) if timeout else DEFAULT_HOOK_TIMEOUT
        if not hook_timeout > 0:
            raise ValueError
    except ValueError:
        _log.warning("MATTERMOST_PLUGIN_HOOK_TIMEOUT is no positive number; %s s are taken", DEFAULT_HOOK_TIMEOUT)
        hook_timeout = DEFAULT_HOOK_TIMEOUT
    level = os.environ.get("MATTERMOST_PLUGIN_LOG_LEVEL", "INFO").upper()
    level = {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(level, level)
    return RuntimeConfig(
        plugin_id=os.environ.get("MATTERMOST_PLUGIN_ID", ""),
        api_target=os.environ.get("MATTERMOST_PLUGIN_API_TARGET") or os.environ.get("MATTERMOST_API_TARGET", ""),
        plugin_path=os.environ.get("MATTERMOST_PLUGIN_PATH", ""),
        hook_timeout=hook_timeout,
        log_level=level if level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL") else "INFO",
    )
