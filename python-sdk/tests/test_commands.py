"""Slash commands as methods of a plugin."""

from __future__ import annotations

from typing import Any

import pytest

from mattermost_plugin import CommandResponse, HookName, HookRegistrationError, Plugin, command, hook
from mattermost_plugin.commands import Commands
from mattermost_plugin.testing import PluginHost
from mattermost_plugin.types import CommandArgs, PluginContext

from .conftest import StartPlugin


class Todo(Plugin):
    activated = 0

    @hook(HookName.OnActivate)
    async def on_activate(self) -> None:
        self.activated += 1

    @command("todo", hint="[text]", description="Shows what is to do")
    def show(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        return f"nothing to do about {text!r}"

    @command("todo add", hint="[text]", description="Notes something")
    @command("remember")
    async def add(self, ctx: PluginContext, args: CommandArgs, text: str) -> CommandResponse:
        return CommandResponse(text=f"{args.user_id} has to: {text}", response_type="in_channel")

    @command("todo list all")
    def list_all(self, ctx: PluginContext, args: CommandArgs, text: str) -> None: ...


def typed(host: PluginHost[Any], text: str) -> str:
    response = host.call("ExecuteCommand", CommandArgs(command=text, user_id="ann")).response
    return "" if response is None else str(response.text)


def test_commands_are_registered_and_routed() -> None:
    with PluginHost(Todo) as host:
        assert host.plugin.activated == 1
        registered = {call.command.trigger: call.command for call in host.api.calls_of("register_command")}
        assert sorted(registered) == ["remember", "todo"]
        todo = registered["todo"]
        assert (todo.auto_complete, todo.auto_complete_hint, todo.auto_complete_desc) == (
            True,
            "[text]",
            "Shows what is to do",
        )
        assert typed(host, "/todo") == "nothing to do about ''"
        assert typed(host, "/todo  the  dishes ") == "nothing to do about 'the  dishes'"
        assert typed(host, "/TODO Add the  dishes") == "ann has to: the  dishes"
        assert typed(host, "/remember\nthe dishes") == "ann has to: the dishes"
        assert typed(host, "/todo list all") == ""
        assert typed(host, "/todo list") == "nothing to do about 'list'"
        # Not gone through again for each of its words.
        assert typed(host, f"/todo {'x ' * 200_000}").count("x") > 1000


def test_what_is_unknown_is_answered_with_what_there_is() -> None:
    class Strict(Plugin):
        @command("deploy start", hint="[what]", description="Begins")
        def start(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
            return "begun"

        @command("deploy stop")
        def stop(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
            return "stopped"

    commands = Commands(vars(Strict))
    assert commands.usage("/deploy strat") == "There is:\n- `/deploy start [what]` Begins\n- `/deploy stop`"
    assert commands.usage("/other") is None and commands.usage("") is None
    (registration,) = commands.registrations()
    assert registration.auto_complete_hint == "[start|stop]" and registration.auto_complete_desc == "start: Begins"
    with PluginHost(Strict) as host:
        answer = host.call("ExecuteCommand", CommandArgs(command="/deploy strat")).response
        assert "`/deploy start [what]`" in answer.text


def test_a_handler_of_its_own_gets_what_no_command_takes() -> None:
    class Both(Todo):
        @hook(HookName.ExecuteCommand)
        def others(self, ctx: PluginContext, args: CommandArgs) -> str:
            return f"something else: {args.command}"

    with PluginHost(Both) as host:
        assert typed(host, "/todo add x") == "ann has to: x"
        assert typed(host, "/else") == "something else: /else"
    assert Both.implemented_hooks() == ["ExecuteCommand", "OnActivate"]


@pytest.mark.parametrize("name", ["", "  ", "/todo", "todo /add"])
def test_names_that_nobody_could_type(name: str) -> None:
    with pytest.raises(HookRegistrationError, match="a command is a word without its slash"):
        command(name)


def test_wrong_handlers() -> None:
    with pytest.raises(HookRegistrationError, match=r"can't handle /todo: it must take \(self, ctx, args, text\)"):

        class Short(Plugin):
            @command("todo")  # type: ignore[type-var]
            def handler(self, ctx: PluginContext, args: CommandArgs) -> None: ...

    with pytest.raises(HookRegistrationError, match="both handle /todo add"):

        class Twice(Todo):
            @command("Todo  ADD")
            def again(self, ctx: PluginContext, args: CommandArgs, text: str) -> None: ...


def test_a_command_of_a_real_plugin(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class P(Plugin):
        @command("greet")
        def greet(self, ctx, args, text):
            if not text:
                raise ValueError("nobody to greet")
            return f"Hello, {text}!"

    run_plugin(P)
    """)
    answer = plugin.call("ExecuteCommand", args=CommandArgs(command="/greet bob"))
    assert answer.response.text == "Hello, bob!"
    assert plugin.call("ExecuteCommand", args=CommandArgs(command="/greet")).error.id
    assert "nobody to greet" in plugin.wait_for_log("nobody to greet")
