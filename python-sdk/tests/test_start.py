"""What a plugin loads to start, and that what it does not load then is there when it is asked for."""

from __future__ import annotations

import gc
import inspect
import json
import pydoc
import subprocess
import sys
from typing import Any

import pytest

import effect_plugin
import mattermost_plugin
from effect_plugin import _late
from effect_plugin._lazy import loading
from mattermost_plugin import types
from mattermost_plugin.config import HANDSHAKE

from .conftest import StartPlugin

BOTH_PROTOCOLS = True

#: What a plugin with a hook does not need before it is called.
LATE = (
    "effect_plugin._generated.models",
    "effect_plugin._schedule",
    "effect_plugin.host",
    "effect_plugin.http",
    "google.protobuf.descriptor_pb2",
    "google.protobuf.text_format",
    "json",
    "mattermost_plugin._generated.api",
    "mattermost_plugin._generated.models",
    "mattermost_plugin.commands",
    "mattermost_plugin.router",
    "urllib.parse",
    "uvicorn",
)

#: As a host does it, before the handshake.
HOST = {HANDSHAKE.magic_cookie_key: HANDSHAKE.magic_cookie_value, "PLUGIN_PROTOCOL_VERSIONS": "1"}


def as_plugin(program: str) -> Any:
    """What a program writes as JSON that runs as a plugin does."""
    end = "\nimport json; sys.__stderr__.write(json.dumps(result))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}{end}"], env=HOST, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr)


def test_a_plugin_with_a_hook_loads_what_its_start_needs() -> None:
    loaded = as_plugin(
        """
from mattermost_plugin import HookName, Plugin, hook, run_plugin
class Small(Plugin):
    @hook(HookName.OnActivate)
    def activate(self): pass
import effect_plugin._ttrpc.serving
result = sorted(sys.modules)
"""
    )
    assert "effect_plugin._server" in loaded
    assert [name for name in LATE if name in loaded] == []


@pytest.mark.parametrize("package", [effect_plugin, mattermost_plugin])
def test_every_name_is_there_when_it_is_asked_for(package: Any) -> None:
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing
    assert package.http.ClientDisconnected is package.ClientDisconnected


def test_submodules_are_there_without_an_import_of_their_own() -> None:
    program = "import mattermost_plugin as m; result = [m.types.Post.__name__, m.http.__name__, m.models.Json.__name__]"
    assert as_plugin(program) == ["Post", "mattermost_plugin.http", "Json"]


def test_the_host_api_has_its_methods_however_they_are_asked_for() -> None:
    assert as_plugin(
        """
from mattermost_plugin import AsyncPluginAPIClient, PluginAPIClient
from mattermost_plugin._contract import CONTRACT
before = "mattermost_plugin._generated.api" in sys.modules
api = PluginAPIClient("unix:/nowhere")
result = [before, hasattr(api, "nothing"), hasattr(PluginAPIClient, "nothing"), api.get_user.__name__]
result += [PluginAPIClient.get_user.__qualname__, "get_user" in dir(AsyncPluginAPIClient)]
class Fake(AsyncPluginAPIClient):
    async def get_user(self, user_id): return await super().get_user(user_id)
result += [Fake.get_team.__qualname__, Fake.__mro__[-2].__module__, type(api).__name__]
"""
    ) == [
        False,
        False,
        False,
        "get_user",
        "PluginAPIMethods.get_user",
        True,
        "AsyncPluginAPIMethods.get_team",
        "mattermost_plugin._generated.api",
        "PluginAPIClient",
    ]


def test_subclasses_see_what_their_base_has() -> None:
    assert as_plugin(
        """
from mattermost_plugin import PluginAPIClient
class Fake(PluginAPIClient):
    def get_user(self, user_id): return super().get_user
result = [Fake("unix:/nowhere").get_user("id").__qualname__, Fake.__mro__[-2].__module__]
"""
    ) == ["PluginAPIMethods.get_user", "mattermost_plugin._generated.api"]


def test_without_a_host_the_clients_are_as_they_are() -> None:
    assert type(mattermost_plugin.PluginAPIClient) is type
    assert "get_user" in pydoc.render_doc(mattermost_plugin.PluginAPIClient)
    assert not isinstance(mattermost_plugin.PluginAPIClient, _late._Late)


def test_a_hook_s_first_call_has_its_models(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        """
        class Late(Plugin):
            @hook(HookName.MessageWillBePosted)
            def check(self, ctx, post):
                return None, f"{type(ctx).__module__} {type(post).__name__} {post.message} {post.metadata!r}"

        run_plugin(Late)
        """
    )
    answer = plugin.call("MessageWillBePosted", post={"message": "first"})
    assert answer.rejection_reason.startswith("mattermost_plugin._generated.models Post first")


def test_models_are_dataclasses_when_somebody_asks() -> None:
    program = """
import dataclasses, threading
from mattermost_plugin.types import Post, User
@dataclasses.dataclass
class More(Post):
    more: int = 0
seen = []
threads = [threading.Thread(target=lambda: seen.append(len(dataclasses.fields(User)))) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
names = [field.name for field in dataclasses.fields(More)]
result = [names[0], names[-1], Post.__match_args__[:2], len(set(seen)), dataclasses.is_dataclass(User), Post().file_ids]
"""
    assert as_plugin(program) == ["id", "more", ["id", "channel_id"], 1, True, []]
    assert next(iter(inspect.signature(types.Post).parameters)) == "id"


def test_who_sets_up_the_garbage_collector_is_left_alone() -> None:
    program = """
import gc
GIVEN
before = gc.isenabled(), gc.get_threshold()
from mattermost_plugin import Plugin
result = [before == (gc.isenabled(), gc.get_threshold()), gc.get_freeze_count() > 0]
"""
    assert as_plugin(program.replace("GIVEN", "")) == [True, True]
    assert as_plugin(program.replace("GIVEN", "gc.disable()")) == [True, False]
    assert as_plugin(program.replace("GIVEN", "gc.set_threshold(0)")) == [True, False]


def test_without_a_host_the_garbage_collector_is_nobodys() -> None:
    before = gc.get_threshold()
    with loading():
        assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
