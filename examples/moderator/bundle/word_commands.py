"""The slash commands that show and change the words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mattermost_plugin import Router, command
from mattermost_plugin.types import CommandArgs, PluginContext

if TYPE_CHECKING:
    # Not at run time: plugin.py is the plugin's program there.
    from plugin import Moderator

HELP = "I know `/moderator list`, `/moderator add WORD`, `/moderator remove WORD`."


class WordCommands(Router):
    plugin: Moderator

    @command("moderator", hint="list | add WORD | remove WORD", description="Words that nobody may post")
    def other(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        return HELP if text else self.listed(self.plugin.words)

    @command("moderator list")
    def list_words(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        return self.listed(self.plugin.words)

    @command("moderator add")
    def add_word(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        return self.save(self.plugin.words | {text.lower()}) if re.fullmatch(r"\w+", text) else HELP

    @command("moderator remove")
    def remove_word(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        return self.save(self.plugin.words - {text.lower()}) if re.fullmatch(r"\w+", text) else HELP

    def save(self, words: frozenset[str]) -> str:
        """Saves other words, and answers what they are."""
        # Saving tells the plugin: OnConfigurationChange reads it back.
        self.api.save_plugin_config({"words": ", ".join(sorted(words))})
        return self.listed(words)

    def listed(self, words: frozenset[str]) -> str:
        """The words as an answer."""
        return f"Words: {', '.join(sorted(words)) or 'none'}"
