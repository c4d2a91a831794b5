"""Keeps words out of posts: vetoes, a configuration, and slash commands that change it."""

from __future__ import annotations

import re

from mattermost_plugin import HookName, Plugin, command, hook, run_plugin
from mattermost_plugin.types import CommandArgs, PluginContext, Post

HELP = "I know `/moderator list`, `/moderator add WORD`, `/moderator remove WORD`."


class Moderator(Plugin):
    words: frozenset[str] = frozenset()

    @hook(HookName.OnConfigurationChange)
    def configure(self) -> None:
        # The settings of plugin.json with their defaults, overlaid with what was saved.
        settings = self.api.load_plugin_configuration().json() or {}
        words = str(settings.get("words", "")).split(",")
        self.words = frozenset(word.strip().lower() for word in words if word.strip())

    @hook(HookName.MessageWillBePosted)
    def check_post(self, ctx: PluginContext, post: Post) -> str | None:
        return self.objection(post)

    @hook(HookName.MessageWillBeUpdated)
    def check_update(self, ctx: PluginContext, new_post: Post, old_post: Post) -> str | None:
        return self.objection(new_post)

    def objection(self, post: Post) -> str | None:
        """Why a post is refused; None for one that is not."""
        found = sorted(self.words.intersection(re.findall(r"\w+", post.message.lower())))
        if not found:
            return None
        self.logger.info("refused", extra={"user": post.user_id, "words": found})
        return f"Please write this without: {', '.join(found)}"

    @command("moderator", hint="list | add WORD | remove WORD", description="Words that nobody may post")
    def other(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        return HELP if text else self.listed(self.words)

    @command("moderator list")
    def list_words(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        return self.listed(self.words)

    @command("moderator add")
    def add_word(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        return self.save(self.words | {text.lower()}) if re.fullmatch(r"\w+", text) else HELP

    @command("moderator remove")
    def remove_word(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        return self.save(self.words - {text.lower()}) if re.fullmatch(r"\w+", text) else HELP

    def save(self, words: frozenset[str]) -> str:
        """Saves other words, and answers what they are."""
        # Saving tells the plugin: OnConfigurationChange reads it back.
        self.api.save_plugin_config({"words": ", ".join(sorted(words))})
        return self.listed(words)

    def listed(self, words: frozenset[str]) -> str:
        """The words as an answer."""
        return f"Words: {', '.join(sorted(words)) or 'none'}"


if __name__ == "__main__":
    run_plugin(Moderator)
