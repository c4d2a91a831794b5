"""The plugin in the test's own process; `plugin_host` comes with the SDK."""

from __future__ import annotations

import pytest
from plugin import Moderator

from mattermost_plugin.testing import PluginHost, StartPlugin
from mattermost_plugin.types import CommandArgs, Post


@pytest.fixture
def host(plugin_host: StartPlugin) -> PluginHost[Moderator]:
    return plugin_host(Moderator, config={"words": "darn, Heck"})


def test_it_registers_its_command(host: PluginHost[Moderator]) -> None:
    (call,) = host.api.calls_of("register_command")
    assert call.command.trigger == "moderator"


@pytest.mark.parametrize("message", ["darn!", "What the HECK", "heck, darn"])
def test_words_are_refused(host: PluginHost[Moderator], message: str) -> None:
    posted = host.call("MessageWillBePosted", Post(message=message))
    assert posted.rejection_reason.startswith("Please write this without: ")
    edited = host.call("MessageWillBeUpdated", Post(message=message), Post(message="fine"))
    assert edited.rejection_reason == posted.rejection_reason


def test_other_posts_are_not(host: PluginHost[Moderator]) -> None:
    answer = host.call("MessageWillBePosted", Post(message="darning socks"))
    assert (answer.rejection_reason, answer.modified_post) == ("", None)


def test_the_command(host: PluginHost[Moderator]) -> None:
    def say(command: str) -> str:
        text: str = host.call("ExecuteCommand", CommandArgs(command=command)).response.text
        return text

    assert say("/moderator") == "Words: darn, heck"
    assert say("/moderator add gosh") == "Words: darn, gosh, heck"
    assert host.api.config == {"words": "darn, gosh, heck"}
    assert say("/moderator remove") == say("/moderator sing") == say("/moderator add two words")
    host.configure(words="")
    assert say("/moderator list") == "Words: none"
