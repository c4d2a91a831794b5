"""What the host tells a plugin through its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

from .logs import own_logger

#: Seconds a handler may take when neither the call nor the host says.
DEFAULT_HOOK_TIMEOUT = 30.0

_log = own_logger("effect_plugin")


@dataclass(frozen=True)
class RuntimeConfig:
    """The plugin's surroundings."""

    plugin_id: str = ""
    #: gRPC target of the host API; empty when there is none.
    api_target: str = ""
    #: The bundle's folder.
    plugin_path: str = ""
    #: Seconds a handler may take, where a call brings no deadline of its own.
    hook_timeout: float = DEFAULT_HOOK_TIMEOUT
    #: Name of the lowest level that is logged.
    log_level: str = "INFO"


class Variables(NamedTuple):
    """The names of the variables by which a host tells a plugin of its surroundings."""

    plugin_id: str = "PLUGIN_SUPERVISOR_PLUGIN_ID"
    plugin_path: str = "PLUGIN_SUPERVISOR_PLUGIN_PATH"
    #: The first that is set counts.
    api_target: tuple[str, ...] = ("PLUGIN_SUPERVISOR_API_TARGET",)
    log_level: str = "PLUGIN_SUPERVISOR_LOG_LEVEL"
    hook_timeout: str = "PLUGIN_SUPERVISOR_HOOK_TIMEOUT"

    def api_targets(self) -> list[str]:
        """Where the host says that its API is."""
        return [found for name in self.api_target if (found := os.environ.get(name))]

    def read(self) -> RuntimeConfig:
        """What they say; what they don't is the default."""
        timeout = os.environ.get(self.hook_timeout, "")
        try:
            hook_timeout = float(timeout) if timeout else DEFAULT_HOOK_TIMEOUT
            if not hook_timeout > 0:
                raise ValueError
        except ValueError:
            _log.warning("%s is no positive number; %s s are taken", self.hook_timeout, DEFAULT_HOOK_TIMEOUT)
            hook_timeout = DEFAULT_HOOK_TIMEOUT
        level = os.environ.get(self.log_level, "INFO").upper()
        level = {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(level, level)
        return RuntimeConfig(
            plugin_id=os.environ.get(self.plugin_id, ""),
            api_target=next(iter(self.api_targets()), ""),
            plugin_path=os.environ.get(self.plugin_path, ""),
            hook_timeout=hook_timeout,
            log_level=level if level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL") else "INFO",
        )
