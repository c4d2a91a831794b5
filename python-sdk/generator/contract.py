"""Mattermost's contract, as the generators read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from effect_plugin._generator.described import Described

PACKAGE = "mattermost.pluginapi.v1"
HOOKS, API = f"{PACKAGE}.PluginHooks", f"{PACKAGE}.PluginAPI"


class MattermostContract(Described):
    """The contract, with what it has that others don't."""

    own_life = True
    error = "error"

    def __init__(self, files: Sequence[Any]) -> None:
        super().__init__(files, [HOOKS, API], refusals=("rejection_reason", "error"))

    def annotation(self, field: Any, owner: Any) -> tuple[str, str]:
        """A field's type and its default, as Python writes them."""
        if field.type == 12 and field.name.endswith("_json") and field.label != 3:
            return ("Json | None", "None") if field.HasField("oneof_index") else ("Json", 'Json(b"")')
        return super().annotation(field, owner)

    def enum_annotation(self, name: str) -> str:
        """The letters are texts, and may be given as such."""
        return "str"
