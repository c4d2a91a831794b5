"""Plugins of several classes: routers, several handlers of one hook, and what each is called."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import threading
from typing import Any

import pytest

from effect_plugin._descriptors import message_class
from effect_plugin._dispatch import HookResultError
from mattermost_plugin import HookName, HookRegistrationError, Plugin, Router, command, every, hook, include
from mattermost_plugin._contract import contract_message
from mattermost_plugin.testing import PluginHost
from mattermost_plugin.types import CommandArgs, PluginContext, Post
from mattermost_plugin.web import asgi, wsgi

from .conftest import IN_GOOD_TIME, LIMIT, StartPlugin, code_of
from .wire import API

Recorder = list[str]


class Welcome(Router):
    plugin: Desk

    def __init__(self, plugin: Desk) -> None:
        super().__init__(plugin)
        self.seen = 0

    @hook(HookName.OnActivate)
    async def activate(self) -> None:
        self.plugin.record("Welcome.activate")

    @hook(HookName.OnDeactivate)
    def deactivate(self) -> None:
        self.plugin.record("Welcome.deactivate")

    @hook(HookName.OnConfigurationChange)
    def configure(self) -> str | None:
        self.plugin.record("Welcome.configure")
        return self.plugin.objection

    @hook(HookName.MessageHasBeenPosted)
    def posted(self, ctx: PluginContext, post: Post) -> None:
        self.seen += 1
        self.plugin.record(f"Welcome.posted {post.message}")
        post.message = "changed"

    @hook(HookName.MessageWillBePosted)
    def check(self, ctx: PluginContext, post: Post) -> str | None:
        return "not here" if post.message == "refused" else None

    @command("welcome", description="Says hello")
    async def welcome(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        await self.async_kv.set("welcomed", text)
        return f"{self.plugin.greeting}, {text}"

    @every(seconds=3600)
    def sweep(self) -> None:
        self.plugin.record("Welcome.sweep")


class Archive(Router):
    plugin: Desk

    # Ours need not be called.
    def __init__(self, plugin: Desk) -> None:
        self.limit = 3

    @hook(HookName.OnActivate)
    def activate(self) -> None:
        self.plugin.record("Archive.activate")

    @hook(HookName.OnDeactivate)
    def deactivate(self) -> None:
        self.plugin.record("Archive.deactivate")

    @hook(HookName.MessageHasBeenPosted)
    async def posted(self, ctx: PluginContext, post: Post) -> None:
        self.plugin.record(f"Archive.posted {post.message}")

    @hook(HookName.ServeHTTP)
    def serve(self, ctx: PluginContext, writer: Any, request: Any) -> None:
        writer.json({"archive": self.kv.get("welcomed"), "path": request.path})


class Desk(Plugin):
    greeting = "Hello"
    objection: str | None = None

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.recorded: Recorder = []

    def record(self, what: str) -> None:
        self.recorded.append(what)

    archive = include(Archive)
    welcome = include(Welcome)

    @hook(HookName.OnActivate)
    def activate(self) -> None:
        self.record("Desk.activate")

    @hook(HookName.OnDeactivate)
    def deactivate(self) -> None:
        self.record("Desk.deactivate")

    @hook(HookName.MessageHasBeenPosted)
    def second_by_name(self, ctx: PluginContext, post: Post) -> None:
        self.record(f"Desk.second_by_name {post.message}")

    @hook(HookName.MessageHasBeenPosted)
    def and_then(self, ctx: PluginContext, post: Post) -> None:
        self.record(f"Desk.and_then {post.message}")


def test_the_union_is_implemented() -> None:
    assert Desk.implemented_hooks() == [
        "ExecuteCommand",
        "MessageHasBeenPosted",
        "MessageWillBePosted",
        "OnActivate",
        "OnConfigurationChange",
        "OnDeactivate",
        "ServeHTTP",
    ]
    assert Desk.has_hook("ServeHTTP") and not Desk.has_hook("OnInstall")


def test_the_life_of_all_parts() -> None:
    with PluginHost(Desk) as host:
        recorded = host.plugin.recorded
        assert recorded == ["Welcome.configure", "Desk.activate", "Archive.activate", "Welcome.activate"]
        assert [call.command.trigger for call in host.api.calls_of("register_command")] == ["welcome"]
        del recorded[:]
    assert recorded == ["Welcome.deactivate", "Archive.deactivate", "Desk.deactivate"]


def test_all_are_told_in_order_and_each_has_arguments_of_its_own() -> None:
    with PluginHost(Desk) as host:
        del host.plugin.recorded[:]
        host.call("MessageHasBeenPosted", Post(message="hi"))
        assert host.plugin.recorded == [
            "Desk.second_by_name hi",
            "Desk.and_then hi",
            "Archive.posted hi",
            "Welcome.posted hi",
        ]
        assert (host.plugin.welcome.seen, host.plugin.archive.limit) == (1, 3)


def test_parts_answer_and_share_the_plugin() -> None:
    with PluginHost(Desk, plugin_id="desk") as host:
        assert host.call("MessageWillBePosted", Post(message="refused")).rejection_reason == "not here"
        answer = host.call("ExecuteCommand", CommandArgs(command="/welcome ann"))
        assert answer.response.text == "Hello, ann"
        assert host.request("GET", "/x").text == '{"archive": "ann", "path": "/x"}'
        welcome = host.plugin.welcome
        assert welcome.plugin is host.plugin and welcome is host.plugin.welcome
        assert welcome.api is host.plugin.api and welcome.async_api is host.plugin.async_api
        assert welcome.config.plugin_id == "desk" and welcome.logger.name == "Desk.Welcome"
        assert host.plugin.archive.plugin is host.plugin
        welcome.sweep()
        assert host.plugin.recorded[-1] == "Welcome.sweep"


def test_each_plugin_has_routers_of_its_own() -> None:
    one, other = Desk(), Desk()
    assert one.welcome is one.welcome and one.welcome is not other.welcome
    assert isinstance(Desk.welcome, object) and not isinstance(Desk.welcome, Router)


@dataclasses.dataclass
class Settings:
    limit: int = 3


class Tasks(Router):
    def __init__(self, plugin: Plugin) -> None:
        super().__init__(plugin)
        self.ran = threading.Event()

    async def work(self) -> None:
        self.ran.set()

    @hook(HookName.OnActivate)
    def activate(self) -> None:
        self.limit = self.load_settings(Settings).limit
        self.create_task(self.work())


def test_a_router_s_settings_and_tasks() -> None:
    class P(Plugin):
        tasks = include(Tasks)

    with PluginHost(P, config={"limit": "5"}) as host:
        assert host.plugin.tasks.ran.wait(LIMIT) and host.plugin.tasks.limit == 5


class Fails(Router):
    @hook(HookName.MessageHasBeenPosted)
    def posted(self, ctx: PluginContext, post: Post) -> None:
        raise ValueError("of the router")


class Counts(Router):
    count = 0

    @hook(HookName.MessageHasBeenPosted)
    async def posted(self, ctx: PluginContext, post: Post) -> None:
        self.count += 1
        if post.message == "both":
            raise KeyError("of the second")


class Both(Plugin):
    fails = include(Fails)
    counts = include(Counts)


def test_one_that_fails_keeps_no_other_from_running(caplog: pytest.LogCaptureFixture) -> None:
    with PluginHost(Both) as host:
        for message in ("one", "both"):
            with pytest.raises(ValueError, match="of the router"):
                host.call("MessageHasBeenPosted", Post(message=message))
        assert host.plugin.counts.count == 2
    assert [record.message for record in caplog.records] == [
        "MessageHasBeenPosted (Fails.posted) failed",
        "MessageHasBeenPosted (Fails.posted) failed",
        "MessageHasBeenPosted (Counts.posted) failed",
    ]


def test_who_can_t_be_activated_keeps_the_others_from_it() -> None:
    class Refuses(Router):
        @hook(HookName.OnActivate)
        def activate(self) -> str:
            return "no license"

    class Never(Router):
        activated = False

        @hook(HookName.OnActivate)
        def activate(self) -> None:
            type(self).activated = True

    class P(Plugin):
        refuses = include(Refuses)
        never = include(Never)

    with pytest.raises(RuntimeError, match="can't be activated: no license"), PluginHost(P):
        pass
    assert not Never.activated


def test_of_several_texts_the_first_is_the_answer() -> None:
    class Second(Router):
        @hook(HookName.OnConfigurationChange)
        def configure(self) -> str:
            return "the second"

    class Third(Router):
        configured = False

        @hook(HookName.OnConfigurationChange)
        def configure(self) -> str:
            self.configured = True
            return "the third"

    class P(Plugin):
        second = include(Second)
        third = include(Third)

        @hook(HookName.OnConfigurationChange)
        def configure(self) -> None: ...

    with PluginHost(P) as host:
        assert host.call("OnConfigurationChange").error.message == "the second"
        assert host.plugin.third.configured


def test_a_handler_that_several_share_calls_them_all() -> None:
    plugin = Desk()
    assert asyncio.run(plugin.invoke_hook("MessageHasBeenPosted", PluginContext(), Post(message="hi"))) is None
    assert len(plugin.recorded) == 4
    plugin.objection = "no"
    assert plugin.invoke_hook("OnConfigurationChange") == "no"

    class OnlyJobs(Plugin):
        @every(seconds=1)
        def work(self) -> None: ...

    assert OnlyJobs.implemented_hooks() == ["OnActivate"] and OnlyJobs().invoke_hook("OnActivate") is None


# -- what can't work ------------------------------------------------------------------------------------------------


class Answers(Router):
    @hook(HookName.MessageWillBePosted)
    def check(self, ctx: PluginContext, post: Post) -> None: ...

    @hook(HookName.ServeHTTP)
    def serve(self, ctx: PluginContext, writer: Any, request: Any) -> None: ...

    @hook(HookName.ExecuteCommand)
    def execute(self, ctx: PluginContext, args: CommandArgs) -> str:
        return f"no command of ours: {args.command}"

    @command("ask")
    def ask(self, ctx: PluginContext, args: CommandArgs, text: str) -> None: ...


HANDLERS: dict[str, Any] = {
    "MessageWillBePosted": hook(HookName.MessageWillBePosted)(lambda self, ctx, post: None),
    "ServeHTTP": wsgi(lambda environ, start_response: []),
    "ExecuteCommand": hook(HookName.ExecuteCommand)(lambda self, ctx, args: None),
}


@pytest.mark.parametrize("name", HANDLERS)
def test_two_that_would_answer_are_refused_by_name(name: str) -> None:
    own = {"MessageWillBePosted": "check", "ServeHTTP": "serve", "ExecuteCommand": "execute"}[name]
    with pytest.raises(
        HookRegistrationError,
        match=rf"Desk\.mine and Answers\.{own} both handle {name}, which takes one answer; keep one, and have it call",
    ):
        type("Desk", (Plugin,), {"answers": include(Answers), "mine": HANDLERS[name]})


def test_two_commands_are_refused_by_name() -> None:
    with pytest.raises(HookRegistrationError, match=r"Asks\.question and Answers\.ask both handle /ask; keep one"):

        class Asks(Plugin):
            answers = include(Answers)

            @command("ask")
            def question(self, ctx: PluginContext, args: CommandArgs, text: str) -> None: ...


def test_a_router_that_can_t_work_fails_when_it_is_made() -> None:
    with pytest.raises(HookRegistrationError, match=r"Twice\.one and Twice\.two both handle UserWillLogIn"):

        class Twice(Router):
            @hook(HookName.UserWillLogIn)
            def one(self, ctx: Any, user: Any) -> None: ...

            @hook(HookName.UserWillLogIn)
            def two(self, ctx: Any, user: Any) -> None: ...

    with pytest.raises(HookRegistrationError, match=r"Nested\.answers: a router includes no other; include both in"):

        class Nested(Router):
            answers = include(Answers)


def test_what_is_no_router_is_not_included() -> None:
    wrongs: tuple[Any, ...] = (Desk, Answers(Desk()), "Answers", None)
    for wrong in wrongs:
        with pytest.raises(TypeError, match=r"include\(\) takes a subclass of Router"):
            include(wrong)

    class Odd(Router):
        def __init__(self) -> None: ...

    with pytest.raises(TypeError, match=r"Odd\.__init__ must be \(self, plugin\), and hand it on"):
        include(Odd)

    class Late(Plugin):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.answers = Answers(self)

    with pytest.raises(
        HookRegistrationError,
        match=r"Late\.answers is a router .*include it in the class: answers = include\(Answers\)",
    ):
        PluginHost(Late)


def test_a_subclass_may_leave_a_router_out() -> None:
    class Less(Desk):
        archive = None  # type: ignore[assignment]

    assert not Less.has_hook("ServeHTTP") and Less.has_hook("MessageWillBePosted")
    with PluginHost(Less) as host:
        assert host.plugin.recorded == ["Welcome.configure", "Desk.activate", "Welcome.activate"]


def test_an_own_handler_of_a_router_gets_what_no_command_takes() -> None:
    class P(Plugin):
        answers = include(Answers)

    with PluginHost(P) as host:
        response = host.call("ExecuteCommand", CommandArgs(command="/else")).response
        assert response.text == "no command of ours: /else"


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": type(scope["plugin"]).__name__.encode()})


def test_web_applications_of_routers_find_the_plugin() -> None:
    def wsgi_application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [type(environ["mattermost.plugin"]).__name__.encode()]

    for handler in (asgi(application), wsgi(wsgi_application)):
        web: Any = type("Web", (Router,), {"serve": handler})
        site: Any = type("Site", (Plugin,), {"web": include(web)})
        with PluginHost(site) as host:
            assert host.request("GET", "/").text == "Site"


# -- what they are called -------------------------------------------------------------------------------------------


def test_wrong_answers_are_told_by_the_method_s_name() -> None:
    class P(Plugin):
        @command("wrong")
        def wrong(self, ctx: Any, args: Any, text: str) -> Any:
            return 5

    with PluginHost(P) as host:  # noqa: SIM117
        with pytest.raises(HookResultError, match=r"ExecuteCommand \(.*P\.wrong\) can't answer a int"):
            host.call("ExecuteCommand", CommandArgs(command="/wrong"))


NAMED = """
    class Parts(Router):
        @command("wait")
        def wait(self, ctx, args, text):
            time.sleep(600)

        @command("wait async")
        async def wait_async(self, ctx, args, text):
            await asyncio.sleep(600)

        @hook(HookName.MessageHasBeenPosted)
        async def hangs(self, ctx, post):
            await asyncio.sleep(600)

        @hook(HookName.OnConfigurationChange)
        def configure(self):
            return "of the parts"

        @every(seconds=600, at_once=True)
        def work(self):
            raise ValueError("of a job")

    class P(Plugin):
        parts = include(Parts)

        @command("fail")
        def fail(self, ctx, args, text):
            raise ValueError("of a command")

        @command("wrong")
        def wrong(self, ctx, args, text):
            return 5

        @hook(HookName.OnActivate)
        def activate(self):
            if self.config.plugin_id == "refuses":
                raise ValueError("no license")

        @hook(HookName.MessageHasBeenPosted)
        def raises(self, ctx, post):
            raise ValueError("of the first")

        @hook(HookName.MessageHasBeenUpdated)
        def updated(self, ctx, new, old):
            raise ValueError("of the first update")

        @hook(HookName.MessageHasBeenUpdated)
        async def updated_too(self, ctx, new, old):
            self.logger.info("the second has run")

    run_plugin(P)
"""


def registering(host_api: Any) -> str:
    registered = message_class(API.methods_by_name["RegisterCommand"].output_type)
    target: str = host_api({"RegisterCommand": lambda _: registered()})
    return target


def test_handlers_are_logged_by_their_own_names(start_plugin: StartPlugin, host_api: Any) -> None:
    plugin = start_plugin(IN_GOOD_TIME + NAMED, MATTERMOST_PLUGIN_API_TARGET=registering(host_api))
    plugin.call("OnActivate")
    plugin.wait_for_log("Parts.work failed; it runs again in 600 s")
    assert plugin.call("OnConfigurationChange").error.message == "of the parts"
    plugin.wait_for_log("OnConfigurationChange (Parts.configure) failed: of the parts")

    def execute(typed: str, timeout: float = LIMIT) -> Any:
        return plugin.call("ExecuteCommand", args=CommandArgs(command=typed), timeout=timeout)

    assert execute("/fail").error.id
    plugin.wait_for_log("ExecuteCommand (P.fail) failed")
    _, details = code_of(lambda: execute("/wrong"))
    assert "ExecuteCommand (P.wrong) can't answer a int" in details
    code_of(lambda: execute("/wait", 20))
    code_of(lambda: execute("/wait async", 20))
    log = plugin.wait_for_log("ExecuteCommand (Parts.wait_async) did not return within")
    assert re.search(r"ExecuteCommand \(Parts\.wait\) did not return within .*; it is at plugin\.py:\d+, in wait", log)
    assert "_execute_command" not in log and "_activate" not in log


def test_who_fails_or_hangs_keeps_no_other_from_running(start_plugin: StartPlugin, host_api: Any) -> None:
    plugin = start_plugin(IN_GOOD_TIME + NAMED, MATTERMOST_PLUGIN_API_TARGET=registering(host_api))
    _, details = code_of(lambda: plugin.call("MessageHasBeenUpdated"))
    assert "MessageHasBeenUpdated raised ValueError" in details
    log = plugin.wait_for_log("the second has run")
    assert "MessageHasBeenUpdated (P.updated) failed" in log and "ValueError: of the first update" in log
    _, details = code_of(lambda: plugin.call("MessageHasBeenPosted", timeout=20))
    assert "raised ValueError" in details, "the first failure is told"
    plugin.wait_for_log("MessageHasBeenPosted (Parts.hangs) did not return within")


def test_a_refused_activation_is_told_and_starts_no_job(start_plugin: StartPlugin, host_api: Any) -> None:
    plugin = start_plugin(NAMED, MATTERMOST_PLUGIN_API_TARGET=registering(host_api), MATTERMOST_PLUGIN_ID="refuses")
    assert plugin.call("OnActivate").error.message == "ValueError: no license"
    plugin.shut_down()
    assert plugin.wait() == 0
    assert "OnActivate (P.activate) failed" in plugin.log() and "of a job" not in plugin.log()


def test_commands_that_the_host_refuses_are_told(start_plugin: StartPlugin, host_api: Any) -> None:
    response = message_class(API.methods_by_name["RegisterCommand"].output_type)
    refused = response(error=contract_message("AppError")(id="taken", message="somebody else has it", status_code=400))
    plugin = start_plugin(NAMED, MATTERMOST_PLUGIN_API_TARGET=host_api({"RegisterCommand": lambda _: refused}))
    assert "somebody else has it" in plugin.call("OnActivate").error.message
    plugin.wait_for_log("OnActivate (registering its commands) failed")


HANGS = """
    class P(Plugin):
        @hook(HookName.MessageHasBeenPosted)
        def hangs(self, ctx, post):
            time.sleep(600)

        @hook(HookName.MessageHasBeenPosted)
        def runs(self, ctx, post):
            self.logger.info("the second has run")

    run_plugin(P)
"""


def test_who_hangs_has_no_more_than_its_share_of_the_time(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IN_GOOD_TIME + HANGS)
    _, details = code_of(lambda: plugin.call("MessageHasBeenPosted", timeout=300))
    assert "did not return in time" in details
    log = plugin.wait_for_log("the second has run")
    # Half of the three seconds, or of what a busy machine has left of them.
    assert re.search(r"MessageHasBeenPosted \(P\.hangs\) did not return within [01]\.\d s", log), log
