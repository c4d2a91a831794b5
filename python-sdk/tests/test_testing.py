"""What the SDK gives to the tests of plugins."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from effect_plugin.testing import plugin_host
from mattermost_plugin import HookName, NotFoundError, Plugin, PluginAPIError, UnavailableError, hook
from mattermost_plugin.testing import FakeKeyValueStore, PluginHost
from mattermost_plugin.types import Command, CommandArgs, CommandResponse, PluginContext, PluginKVSetOptions, Post, User
from mattermost_plugin.web import asgi

pytest_plugins = ["pytester"]


class Sample(Plugin):
    """Uses the host API in every way, in sync and async handlers."""

    words: list[str]
    stopped = False

    @hook(HookName.OnConfigurationChange)
    def configured(self) -> None:
        self.words = self.api.load_plugin_configuration().json().get("words", [])

    @hook(HookName.OnActivate)
    def activated(self) -> str | None:
        self.api.register_command(Command(trigger="sample"))
        self.api.log_info("active", words=len(self.words))
        return "no words at all" if self.words == ["none"] else None

    @hook(HookName.OnDeactivate)
    def deactivated(self) -> None:
        type(self).stopped = True

    @hook(HookName.MessageWillBePosted)
    async def checked(self, ctx: PluginContext, post: Post) -> Post | str | None:
        if any(word in post.message for word in self.words):
            author = await self.async_api.get_user(post.user_id)
            return f"{author.username}, not here ({ctx.user_agent})"
        if post.message.isupper():
            post.message = post.message.lower()
            return post
        return None

    @hook(HookName.MessageHasBeenPosted)
    def counted(self, ctx: PluginContext, post: Post) -> None:
        if post.message == "raise":
            raise ValueError("this is the test's to see")
        count = int(self.api.kv_get("count") or b"0") + 1
        self.api.kv_set("count", str(count).encode())

    @hook(HookName.ExecuteCommand)
    def commanded(self, ctx: PluginContext, args: CommandArgs) -> CommandResponse:
        answer = self.api.create_post(Post(channel_id=args.channel_id, message=args.command))
        return CommandResponse(text=answer.id)

    @hook(HookName.ServeHTTP)
    def serve(self, ctx: PluginContext, writer: Any, request: Any) -> None:
        writer.set_header("X-Method", request.method)
        for piece in request.stream():
            writer.write(b"<" + piece + b">")

    @hook(HookName.OnPluginClusterEvent)
    async def on_the_loop(self, ctx: PluginContext, event: Any) -> None:
        self.api.get_server_version()
        self.api.get_server_version()


@pytest.fixture
def host() -> Any:
    with PluginHost(Sample, config={"words": ["darn"]}) as host:
        yield host


def test_activation(host: PluginHost[Sample]) -> None:
    assert host.plugin.words == ["darn"]
    (command,) = host.api.calls_of("register_command")
    assert command.command.trigger == "sample"
    assert [call.method for call in host.api.calls] == ["load_plugin_configuration", "register_command", "log_info"]
    assert host.api.calls_of("log_info")[0].key_value_pairs[0].value == "1"
    host.configure(words=["heck", "gosh"])
    assert host.plugin.words == ["heck", "gosh"]


def ended(before: set[threading.Thread]) -> None:
    """Of the threads there are now, none is new."""
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) <= before


def test_a_plugin_that_can_t_be_activated() -> None:
    before = set(threading.enumerate())
    host = PluginHost(Sample, config={"words": ["none"]})
    with pytest.raises(RuntimeError, match="can't be activated: no words at all"), host:
        pass
    ended(before)


def test_a_plugin_that_can_t_be_made() -> None:
    class Broken(Plugin):
        def __init__(self, **given: Any) -> None:
            raise ValueError("broken")

    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="broken"):
        PluginHost(Broken)
    ended(before)


def test_hooks(host: PluginHost[Sample]) -> None:
    assert host.call("MessageWillBePosted", Post(message="hi")).modified_post is None
    assert host.call("MessageWillBePosted", Post(message="HI")).modified_post == Post(message="hi")
    host.api.answer("get_user", lambda given: User(username=f"name of {given.user_id}"))
    agent = PluginContext(user_agent="a browser")
    refused = host.call(HookName.MessageWillBePosted, post=Post(message="darn", user_id="u"), plugin_context=agent)
    assert (refused.rejection_reason, refused.error) == ("name of u, not here (a browser)", None)
    assert host.call("ExecuteCommand", CommandArgs(command="/sample", channel_id="c")).response.text == "id1"
    (answer,) = host.api.calls_of("create_post")
    assert (answer.post.channel_id, answer.post.message) == ("c", "/sample")
    host.call("MessageHasBeenPosted", Post())
    host.call("MessageHasBeenPosted", Post())
    assert host.api.kv == {"count": b"2"}
    assert host.call("UserWillLogIn", User()).rejection_reason == "", "the plugin does not have this hook"


def test_what_a_handler_raises_is_raised_in_the_test(host: PluginHost[Sample]) -> None:
    with pytest.raises(ValueError, match="this is the test's to see"):
        host.call("MessageHasBeenPosted", Post(message="raise"))


def test_wrong_calls_of_hooks(host: PluginHost[Sample]) -> None:
    with pytest.raises(TypeError, match="MessageWillBePosted takes post; 2 arguments were given"):
        host.call("MessageWillBePosted", Post(), Post())
    with pytest.raises(TypeError, match="MessageWillBePosted takes post; not user"):
        host.call("MessageWillBePosted", user=User())
    with pytest.raises(TypeError, match="a User as post: a Post is needed"):
        host.call("MessageWillBePosted", User())
    with pytest.raises(ValueError, match="MessageWasPosted"):
        host.call("MessageWasPosted")


def test_errors_of_the_host_api(host: PluginHost[Sample]) -> None:
    api = host.plugin.api
    with pytest.raises(PluginAPIError, match=r"does not say what get_team answers; say it with api.answer\('get_team'"):
        api.get_team("t")
    host.api.answer("get_team", NotFoundError("no such team", error_id="team.missing"))
    with pytest.raises(NotFoundError, match="no such team") as caught:
        api.get_team("t")
    assert (caught.value.error_id, caught.value.status_code) == ("team.missing", 404)

    def unavailable(given: Any) -> None:
        raise UnavailableError(f"not {given.team_id} now")

    host.api.answer("get_team", unavailable)
    with pytest.raises(UnavailableError, match="not t now"):
        api.get_team("t")
    for wrong in (host.api.calls_of, lambda name: host.api.answer(name, None)):
        with pytest.raises(ValueError, match="the host API has no method 'get_teem'"):
            wrong("get_teem")


def test_configuration_and_answers_of_several_fields(host: PluginHost[Sample]) -> None:
    api = host.plugin.api
    api.save_plugin_config({"words": ["a"], "limit": 3})
    assert api.get_plugin_config() == host.api.config == {"words": ["a"], "limit": 3}
    assert api.get_plugin_id() == "com.example.plugin"
    host.api.answer("plugin_http", (204, {"A": "1"}, b""))
    assert api.plugin_http("GET", "/other/x").status_code == 204
    assert api.update_post(Post(id="p", message="m")) == Post(id="p", message="m")


def test_http(host: PluginHost[Sample]) -> None:
    answer = host.request("PUT", "/x?y=1", headers={"A": "1"}, body=[b"one", b"two"])
    assert (answer.status, answer.headers, answer.text) == (200, {"X-Method": ["PUT"]}, "<one><two>")
    assert host.request("POST", "/", body=b"all").body == b"<all>"


def test_the_sync_client_on_the_event_loop_is_warned_of_once(
    host: PluginHost[Sample], caplog: pytest.LogCaptureFixture
) -> None:
    host.api.answer("get_server_version", "11.0.0")
    with caplog.at_level(logging.WARNING):
        host.call("OnPluginClusterEvent")
    (record,) = caplog.records
    assert "await async_api.get_server_version()" in record.getMessage()


def test_the_end() -> None:
    before = set(threading.enumerate())
    Sample.stopped = False
    with PluginHost(Sample) as host:
        assert host.call("MessageHasBeenPosted", Post()).error is None
    assert Sample.stopped
    ended(before)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("mattermost_plugin.testing.key_values.time.monotonic", lambda: self.now)


def test_the_key_value_store(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    kv = FakeKeyValueStore()
    kv.kv_set("a", b"1")
    assert (kv.kv_get("a"), kv.kv_get("b")) == (b"1", b"")
    assert kv.kv_compare_and_set("a", b"0", b"2") is False and kv.kv_get("a") == b"1"
    assert kv.kv_compare_and_set("a", b"1", b"2") is True and kv.kv_get("a") == b"2"
    assert kv.kv_compare_and_set("b", b"", b"new") is True and kv.kv_get("b") == b"new"
    assert kv.kv_compare_and_delete("b", b"") is False and kv.kv_compare_and_delete("b", b"new") is True
    kv.kv_set_with_expiry("b", b"soon gone", 10)
    assert kv.kv_list(page=0, per_page=10) == ["a", "b"] and kv.kv_list(page=1, per_page=1) == ["b"]
    clock.now += 10
    assert kv.kv_list(page=0, per_page=10) == ["a"] and kv.kv_get("b") == b""
    assert kv.kv_set_with_options("a", b"3", PluginKVSetOptions(atomic=True, old_value=b"1")) is False
    assert kv.kv_set_with_options("a", b"3", PluginKVSetOptions(atomic=True, old_value=b"2")) is True
    assert kv.kv_set_with_options("a", b"4", PluginKVSetOptions(expire_in_seconds=5)) is True
    clock.now += 5
    assert kv.kv_get("a") == b""
    kv.kv_set("a", b"1")
    kv.kv_delete("a")
    kv.kv_set("c", b"1")
    kv.kv_delete_all()
    assert kv.kv_list(page=0, per_page=10) == []


def test_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from mattermost_plugin import HookName, Plugin, hook

        class Small(Plugin):
            ended = False

            @hook(HookName.UserWillLogIn)
            def check(self, ctx, user):
                return self.api.get_plugin_config()["reason"]

            @hook(HookName.OnDeactivate)
            def end(self):
                Small.ended = True

        def test_it(plugin_host):
            host = plugin_host(Small, config={"reason": "closed"})
            assert host.call("UserWillLogIn").rejection_reason == "closed"

        def test_it_has_ended():
            assert Small.ended
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_a_web_application_has_its_life_here_as_well() -> None:
    events: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                events.append((await receive())["type"])
                scope["state"][event] = True
                await send({"type": f"lifespan.{event}.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": repr(scope["state"]).encode()})

    class Web(Plugin):
        serve = asgi(application)

    with PluginHost(Web) as host:
        assert host.request("GET", "/").text == "{'startup': True}"
    assert events == ["lifespan.startup", "lifespan.shutdown"]


def test_a_call_that_the_test_says_nothing_of_fails_it_at_its_end() -> None:
    told = "the plugin has called get_team, get_user, and the test says no answer"
    with pytest.raises(AssertionError, match=told), PluginHost(Sample) as host:
        for call in (host.plugin.api.get_user, host.plugin.api.get_team):
            with pytest.raises(PluginAPIError):
                call("x")


def test_what_can_t_be_answered_is_refused(host: PluginHost[Sample]) -> None:
    with pytest.raises(TypeError, match="raises PluginAPIError and its kinds, no ValueError"):
        host.api.answer("get_user", ValueError("x"))
    with pytest.raises(TypeError, match=r"make one of it: NotFoundError\(...\)"):
        host.api.answer("get_user", NotFoundError)
    with pytest.raises(ValueError, match="no method 'create_pots'"):
        host.api.calls_of("create_pots")
    with pytest.raises(TypeError, match=r"host\.request"):
        host.call("ServeHTTP")


def test_a_wrong_result_names_the_handler() -> None:
    class Wrong(Plugin):
        @hook(HookName.MessageWillBePosted)
        def check(self, ctx: PluginContext, post: Post) -> Any:
            return 42

    with (
        PluginHost(Wrong) as host,
        pytest.raises(TypeError, match=r"MessageWillBePosted \(.*Wrong.check\) can't answer"),
    ):
        host.call("MessageWillBePosted", Post())


def test_a_handler_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    class Hangs(Plugin):
        @hook(HookName.OnInstall)
        def install(self, ctx: PluginContext, event: Any) -> None:
            go.wait(60)

    with PluginHost(Hangs) as host:
        monkeypatch.setattr(plugin_host, "TEST_TIMEOUT", 0.2)
        with pytest.raises(TimeoutError, match="OnInstall took longer than 0 s"):
            host.call("OnInstall")
        monkeypatch.undo()
        go.set()


def test_async_tests_use_the_plugin_s_api(host: PluginHost[Sample]) -> None:
    host.api.answer("get_user", User(username="ann"))

    async def test() -> None:
        assert (await host.plugin.async_api.get_user("u")).username == "ann"

    asyncio.run(test())


def test_headers_of_several_values(host: PluginHost[Sample]) -> None:
    assert host.request("GET", "/", headers={"a": ["1", "2"]}).headers["X-Method"] == ["GET"]


class Configured(Plugin):
    """Keeps its settings as it was told of them."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.told: list[dict[str, Any]] = []

    @hook(HookName.OnConfigurationChange)
    def configured(self) -> None:
        self.told.append(self.api.load_plugin_configuration().json())

    @hook(HookName.OnInstall)
    def install(self, ctx: PluginContext, event: Any) -> None:
        for length in (1, 2):
            self.api.save_plugin_config({"maxlength": length})


def test_settings_are_those_that_a_host_hands_out(tmp_path: Path) -> None:
    settings = [{"key": "MaxLength", "type": "number", "default": 10.0}, {"key": "Greeting", "type": "text"}]
    (tmp_path / "plugin.json").write_text(json.dumps({"settings_schema": {"settings": settings}}))
    with PluginHost(Configured, config={"Greeting": "hello"}, plugin_path=str(tmp_path)) as host:
        api = host.plugin.api
        assert api.get_plugin_config() == host.api.config == {"Greeting": "hello"}, "what is stored is as it was set"
        assert host.plugin.told == [{"maxlength": 10, "greeting": "hello"}]
        assert type(host.plugin.told[0]["maxlength"]) is int
        host.configure(maxLength=12)
        assert api.get_plugin_config() == {"Greeting": "hello", "maxLength": 12}
        host.configure(MAXLENGTH=13)
        assert api.get_plugin_config() == {"Greeting": "hello", "MAXLENGTH": 13}
        assert host.plugin.told[1:] == [{"maxlength": length, "greeting": "hello"} for length in (12, 13)]
        host.call("OnInstall")
        assert host.plugin.told[3:] == [{"maxlength": 2}] * 2, "it is told of what it saves, each time"
        assert api.get_bundle_path() == str(tmp_path.resolve())


def test_saving_for_ever_is_seen() -> None:
    class Saves(Plugin):
        is_ready = False

        @hook(HookName.OnConfigurationChange)
        def configured(self) -> None:
            if self.is_ready:
                self.api.save_plugin_config({})

    with PluginHost(Saves) as host:
        host.plugin.is_ready = True
        with pytest.raises(AssertionError, match="for which a host calls it again"):
            host.configure(a=1)


SETTINGS = "settings_schema: {settings: [{key: Mode, type: text, default: off}]}"


@pytest.mark.parametrize("name", ["plugin.yaml", "plugin.yml"])
def test_a_manifest_may_be_yaml(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin.json").write_text("{}")
    (tmp_path / name).write_text(SETTINGS)
    with PluginHost(Configured, plugin_path=str(tmp_path)) as host:
        assert host.plugin.told == [{"mode": "off"}], "as in YAML 1.2, where that is no boolean"
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(RuntimeError, match=rf"{name} can't be read without PyYAML.*pip install '.*\[testing\]'"):
        PluginHost(Configured, plugin_path=str(tmp_path))


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"settings_schema": 1}', '{"settings_schema": {"sections": [1]}}', "[" * 100_000]
)
@pytest.mark.parametrize("name", ["plugin.json", "plugin.yaml"])
def test_a_manifest_that_can_t_be_read_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name} is not a valid plugin manifest"):
        PluginHost(Configured, plugin_path=str(tmp_path))
