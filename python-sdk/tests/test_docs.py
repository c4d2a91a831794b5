"""The documents about the SDK: their snippets run, and what is listed in them is the contract's."""

from __future__ import annotations

import asyncio
import inspect
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

import mattermost_plugin
from effect_plugin import generate
from generator.contract import MattermostContract
from generator.mattermost_hooks import MattermostHooks
from mattermost_plugin.testing import PluginHost

from .wire import API

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = (DOCS / "python-sdk.md").read_text()

pytest_plugins = ["pytester"]


def snippets(language: str, document: str = DOCUMENT) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document, re.MULTILINE | re.DOTALL)


def test_the_table_of_hooks_is_the_contract_s() -> None:
    described = Path(mattermost_plugin.__file__).parent / "_generated" / "descriptors.binpb"
    contract = MattermostContract(descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes()).file)
    assert f"\n{MattermostHooks(contract).table()}\n" in DOCUMENT, "run python generate.py"


def test_both_clients_have_the_methods_of_the_reference() -> None:
    names = re.findall(r"^### (\w+)$", (DOCS / "reference" / "api.md").read_text(), re.MULTILINE)
    assert len(names) == len(API.methods)
    for name in names:
        sync = getattr(mattermost_plugin.PluginAPIClient, name)
        awaited = getattr(mattermost_plugin.AsyncPluginAPIClient, name)
        assert inspect.signature(sync) == inspect.signature(awaited)
        assert inspect.iscoroutinefunction(awaited) and not inspect.iscoroutinefunction(sync)


def test_the_snippet_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = snippets("python settings")
    module = ModuleType("snippet")
    monkeypatch.setitem(sys.modules, "snippet", module)
    names = module.__dict__
    exec("from dataclasses import dataclass, field\nfrom typing import Literal\n" + snippet, names)
    read = mattermost_plugin.read_settings(names["Settings"], {"apikey": "k", "maxlength": "5", "words": "a, b"})
    assert (read.api_key, read.max_length, read.mode, read.words) == ("k", 5, "lax", ["a", "b"])


def test_the_snippet_of_jobs() -> None:
    (snippet,) = snippets("python jobs")
    names: dict[str, Any] = {}
    exec("from mattermost_plugin import Plugin, cron\n" + snippet, names)
    with PluginHost(names["Digest"]) as host:
        host.api.kv.kv_set("cache", b"1")
        host.plugin.send()
        asyncio.run(host.plugin.sweep())
        assert not host.api.kv


TESTS_OF_DESK = """
from plugin import Desk
from mattermost_plugin.types import CommandArgs, Post


def test_desk(plugin_host):
    host = plugin_host(Desk)
    answer = host.call("ExecuteCommand", CommandArgs(command="/remind of tea", channel_id="c"))
    assert answer.response.text == "Hello! I'll remember."
    host.call("MessageHasBeenPosted", Post())
    assert host.plugin.kv.get("posts") == 1
    host.plugin.reminders.send()
    (call,) = host.api.calls_of("create_post")
    assert (call.post.channel_id, call.post.message) == ("c", "of tea")
    assert host.plugin.kv.get("reminders") == []
"""


def test_the_snippets_of_a_plugin_of_two_files(pytester: pytest.Pytester) -> None:
    (reminders,), (desk,) = snippets("python reminders"), snippets("python desk")
    pytester.makepyfile(plugin=desk, reminders=reminders, test_desk=TESTS_OF_DESK)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_snippets_run(pytester: pytest.Pytester) -> None:
    (plugin,) = snippets("python")
    tests = snippets("py")
    pytester.makepyfile(plugin=plugin, **{f"test_{number}": test for number, test in enumerate(tests)})
    count = sum(test.count("def test_") for test in tests)
    assert count == 6
    pytester.runpytest_subprocess().assert_outcomes(passed=count)


def test_the_plugin_for_the_published_sdk_runs(pytester: pytest.Pytester) -> None:
    (test,) = snippets("py", (DOCS / "from-the-published-sdk.md").read_text())
    pytester.makepyfile(test)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_contract_of_one_s_own(pytester: pytest.Pytester) -> None:
    document = (DOCS / "own-contract-in-python.md").read_text()
    (contract,), (shell,) = snippets("protobuf", document), snippets("sh", document)
    (plugin,), (tests,) = snippets("python taxes", document), snippets("py", document)
    pytester.mkdir("proto").joinpath("billing.proto").write_text(contract)
    (command,) = re.findall(r"^python -m effect_plugin.generate((?:.*\\\n)*.*)", shell, re.MULTILINE)
    assert generate.main(shlex.split(command.replace("\\\n", ""))) == 0
    pytester.makepyfile(plugin=plugin, test_plugin=tests)
    pytester.makeini("[pytest]\npythonpath = billing-plugin .")
    pytester.runpytest_subprocess().assert_outcomes(passed=tests.count("def test_"))
