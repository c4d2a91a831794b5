"""What the host tells a plugin through its environment."""

from __future__ import annotations

from dataclasses import asdict

from effect_plugin import _config
from effect_plugin._config import Variables
from effect_plugin._handshake import HandshakeConfig

#: What Mattermost's plugins and hosts agree on.
HANDSHAKE = HandshakeConfig("MATTERMOST_PLUGIN", "Securely message teams, anywhere.")

#: The app protocol version of the contract.
PROTOCOL_VERSION = 1

#: The variables of the contract.
VARIABLES = Variables(
    plugin_id="MATTERMOST_PLUGIN_ID",
    plugin_path="MATTERMOST_PLUGIN_PATH",
    api_target=("MATTERMOST_PLUGIN_API_TARGET", "MATTERMOST_API_TARGET"),
    log_level="MATTERMOST_PLUGIN_LOG_LEVEL",
    hook_timeout="MATTERMOST_PLUGIN_HOOK_TIMEOUT",
)


class RuntimeConfig(_config.RuntimeConfig):
    """The plugin's surroundings; see `load_runtime_config`."""

    @classmethod
    def from_env(cls) -> RuntimeConfig:
        """See `load_runtime_config`."""
        return load_runtime_config()


def load_runtime_config() -> RuntimeConfig:
    """Reads MATTERMOST_PLUGIN_ID, _API_TARGET (else MATTERMOST_API_TARGET), _PATH, _HOOK_TIMEOUT and _LOG_LEVEL."""
    return RuntimeConfig(**asdict(VARIABLES.read()))
