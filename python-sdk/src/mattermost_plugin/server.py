"""The process that serves a plugin."""

from effect_plugin._server import run_plugin, serve_plugin

__all__ = ["run_plugin", "serve_plugin"]
