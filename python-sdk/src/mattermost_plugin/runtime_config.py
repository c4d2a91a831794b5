"""Where the published SDK keeps what is `mattermost_plugin.config` here."""

from .config import RuntimeConfig, load_runtime_config

__all__ = ["RuntimeConfig", "load_runtime_config"]
