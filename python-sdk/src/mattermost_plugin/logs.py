"""Logging to the host."""

from effect_plugin.logs import HclogHandler, LogWriter, configure

__all__ = ["HclogHandler", "LogWriter", "configure"]
