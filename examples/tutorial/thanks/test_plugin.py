from pathlib import Path

import pytest
from plugin import Thanks

from mattermost_plugin.types import CommandArgs, Post, User


@pytest.fixture
def host(plugin_host):
    host = plugin_host(Thanks, plugin_path=str(Path(__file__).parent))
    host.api.answer("get_user", User(username="bob"))
    return host


def say(host, command):
    return host.call("ExecuteCommand", CommandArgs(command=command)).response.text


def test_thx_is_spelled_out(host):
    answer = host.call("MessageWillBePosted", Post(message="thx, ann"))
    assert answer.modified_post.message == "thanks, ann"


def test_other_posts_stay_as_they_are(host):
    answer = host.call("MessageWillBePosted", Post(message="hello"))
    assert answer.modified_post is None


def test_thanks_are_counted(host):
    assert say(host, "/thanks ann") == "Thank you, ann, says bob! That makes 1."
    assert say(host, "/thanks ann") == "Thank you, ann, says bob! That makes 2."


def test_the_greeting_is_a_setting(host):
    host.configure(Greeting="Merci")
    assert say(host, "/thanks ann").startswith("Merci, ann")


def test_the_top_is_as_long_as_the_settings_say(host):
    assert say(host, "/thanks top") == "Nobody yet."
    for name in ["ann", "cal", "cal", "dan"]:
        say(host, f"/thanks {name}")
    host.configure(TopCount=1)
    assert say(host, "/thanks top") == "cal: 2"


def test_the_report(host, caplog):
    say(host, "/thanks ann")
    caplog.set_level("INFO")
    host.plugin.report()
    assert "thanked most" in caplog.text


def test_the_page_escapes_names(host):
    say(host, "/thanks <b>")
    answer = host.request("GET", "/")
    assert answer.status == 200
    assert "<li>&lt;b&gt;: 1</li>" in answer.text
