"""A plugin of Mattermost's contract in the test's own process, run as a host would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from effect_plugin._plugin import PluginClass
from effect_plugin.contract import Contract
from effect_plugin.testing import plugin_host

from ..types import PluginContext
from .host_api import FakeHostAPI

#: How often OnConfigurationChange may save the configuration in turn.
_SAVES = 10


class PluginHost(plugin_host.PluginHost[PluginClass]):
    """Runs a plugin in the test's process, as a host would: its hooks, its HTTP, and a host API behind real gRPC."""

    def _make_api(
        self, contract: Contract, plugin_id: str, config: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> FakeHostAPI:
        return FakeHostAPI(plugin_id, config, settings)

    @property
    def api(self) -> FakeHostAPI:
        """What the plugin sees of its host."""
        return cast("FakeHostAPI", super().api)

    def _given(self) -> dict[str, Any]:
        return {"plugin_context": PluginContext()}

    def activate(self) -> None:
        """Calls OnConfigurationChange and OnActivate, as a host does when it starts a plugin."""
        super().activate()
        # Only an active plugin is told.
        self.api.saves = 0

    def _after_a_call(self) -> None:
        """Tells the plugin, as a host does after its handler, of each time that it has saved its configuration."""
        for _ in range(_SAVES):
            saves, self.api.saves = self.api.saves, 0
            for _ in range(saves):
                self._failure_of("OnConfigurationChange")
            if not saves:
                return
        raise AssertionError("OnConfigurationChange saves the configuration, for which a host calls it again, for ever")


class StartPlugin(Protocol):
    """The fixture `plugin_host`: makes a PluginHost and activates its plugin, until the test ends."""

    def __call__(
        self,
        plugin_class: type[PluginClass],
        *,
        config: Mapping[str, Any] | None = None,
        plugin_id: str = ...,
        plugin_path: str = ...,
    ) -> PluginHost[PluginClass]:
        """An active plugin of this class."""
        ...
