"""Where the published SDK keeps the types of the contract; they are `mattermost_plugin.types` here."""

from __future__ import annotations

import dataclasses

from ..types import *  # noqa: F403


@dataclasses.dataclass
class PluginInfo:
    """A type of the published SDK that nothing there makes."""

    manifest: dict[str, object] = dataclasses.field(default_factory=dict)
