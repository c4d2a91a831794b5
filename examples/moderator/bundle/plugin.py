"""Keeps words out of posts: vetoes, a configuration, and slash commands that change it (word_commands.py)."""

from __future__ import annotations

import re

from word_commands import WordCommands

from mattermost_plugin import HookName, Plugin, hook, include, run_plugin
from mattermost_plugin.types import PluginContext, Post


class Moderator(Plugin):
    words: frozenset[str] = frozenset()
    commands = include(WordCommands)

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


if __name__ == "__main__":
    run_plugin(Moderator)
