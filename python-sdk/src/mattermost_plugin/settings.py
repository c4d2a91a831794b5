"""A plugin's settings as a class of its own: a dataclass, or a pydantic model."""

from effect_plugin._settings import SettingsError, read_settings

__all__ = ["SettingsError", "read_settings"]
