"""Methods that a plugin runs by itself, now and then."""

from effect_plugin._jobs import cron, every

__all__ = ["cron", "every"]
