"""Keeps words out of posts: vetoes, a configuration, and a slash command that changes it."""

from __future__ import annotations

import re

from mattermost_plugin import HookName, Plugin, hook, run_plugin
from mattermost_plugin.types import Command, CommandArgs, CommandResponse, PluginContext, Post

TRIGGER = "moderator"
HELP = f"`/{TRIGGER} list`, `/{TRIGGER} add WORD`, `/{TRIGGER} remove WORD`"


class Moderator(Plugin):
    words: frozenset[str] = frozenset()

    @hook(HookName.OnConfigurationChange)
    def configure(self) -> None:
        # The settings of plugin.json with their defaults, overlaid with what was saved.
        settings = self.api.load_plugin_configuration().json() or {}
        words = str(settings.get("words", "")).split(",")
        self.words = frozenset(word.strip().lower() for word in words if word.strip())

    @hook(HookName.OnActivate)
    def activate(self) -> None:
        self.api.register_command(
            Command(
                trigger=TRIGGER,
                auto_complete=True,
                auto_complete_desc="Words that nobody may post",
                auto_complete_hint="list | add WORD | remove WORD",
            )
        )

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

    @hook(HookName.ExecuteCommand)
    def command(self, ctx: PluginContext, args: CommandArgs) -> CommandResponse:
        _, *said = args.command.lower().split()
        return CommandResponse(response_type="ephemeral", text=self.answer(*said))

    def answer(self, action: str = "list", word: str = "", *rest: str) -> str:
        """Does what a command says, and answers what it did."""
        if action == "list":
            return f"Words: {', '.join(sorted(self.words)) or 'none'}"
        if action not in ("add", "remove") or not word or rest:
            return f"I know {HELP}."
        words = self.words | {word} if action == "add" else self.words - {word}
        # Saving tells the plugin: OnConfigurationChange reads it back.
        self.api.save_plugin_config({"words": ", ".join(sorted(words))})
        return f"Words: {', '.join(sorted(words)) or 'none'}"


if __name__ == "__main__":
    run_plugin(Moderator)
