"""Plugins of several classes and files: routers, and how a plugin includes them."""

from __future__ import annotations

from typing import cast

from effect_plugin import _router
from effect_plugin._router import Included, include

from ._contract import CONTRACT
from .client import AsyncPluginAPIClient, PluginAPIClient
from .config import RuntimeConfig
from .plugin import MattermostHandlers

__all__ = ["Included", "Router", "include"]


class Router(_router.Router):
    """A part of a plugin: its methods are marked with `@hook`, `@command`, `@every` and `@cron`, as a plugin's are.

    A plugin includes it: `reminders = include(Reminders)` in its class. A subclass says what its plugin is, for type
    checkers, by `plugin: MyPlugin` in its class; one with an `__init__` of its own takes the plugin and hands it on.
    """

    _contract = CONTRACT

    _handlers_class = MattermostHandlers

    @property
    def api(self) -> PluginAPIClient:
        """The host API; see `Plugin.api`."""
        return cast("PluginAPIClient", super().api)

    @property
    def async_api(self) -> AsyncPluginAPIClient:
        """The host API for `async def` handlers; see `Plugin.async_api`."""
        return cast("AsyncPluginAPIClient", super().async_api)

    @property
    def config(self) -> RuntimeConfig:
        """What the host told the plugin of its surroundings."""
        return cast("RuntimeConfig", super().config)
