"""Mistakes that type checkers find.

Each line ignores the very errors that it has; both checkers complain of an ignored error that does not occur.
"""

# ruff: noqa: B018

from __future__ import annotations

from dataclasses import dataclass

from mattermost_plugin import (
    HookName,
    HTTPRequest,
    HTTPResponseWriter,
    Plugin,
    Router,
    command,
    every,
    hook,
    include,
)
from mattermost_plugin.testing import StartPlugin
from mattermost_plugin.types import (
    ChannelType,
    CommandArgs,
    PluginContext,
    Post,
    User,
)


@dataclass
class Settings:
    limit: int = 10


class Wrong(Plugin):
    @hook("OnActivat")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue, reportArgumentType]
    def no_hook(self) -> None: ...

    @command("todo add")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    def add(self, ctx: PluginContext, args: CommandArgs) -> str:
        return ""

    @command("todo list")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    def all(self, ctx: PluginContext, args: CommandArgs, text: str) -> int:
        return 1

    @every(seconds=60)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    def sweep(self, now: int) -> None: ...

    @hook(HookName.ExecuteCommand)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    def answer(self, ctx: PluginContext, args: CommandArgs) -> int:
        return 1

    @hook(HookName.OnActivate)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    def activate(self, ctx: PluginContext) -> None: ...

    @hook(HookName.MessageWillBePosted)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    def check(self, ctx: PluginContext, post: User) -> None: ...

    @hook("MessageWillBeUpdated")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    def update(self, ctx: PluginContext, new: Post, old: Post) -> bool:
        return True

    @hook(HookName.UserWillLogIn)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    async def log_in(self, ctx: PluginContext, user: User) -> User:
        return user

    @hook(HookName.MessageHasBeenPosted)
    def posted(self, ctx: PluginContext, post: Post) -> None:
        self.api.get_usr("u")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        self.api.get_user(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.api.get_user("u").nam  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        post.mesage = "m"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        Post(mesage="m")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        Post(message=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ChannelType.OPENED  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        HookName.OnActivat  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        CommandArgs().text  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        self.kv.update("count", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.load_settings(Settings).limits  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

    @hook(HookName.ServeHTTP)
    async def serve(self, ctx: PluginContext, writer: HTTPResponseWriter, request: HTTPRequest) -> None:
        writer.write(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        writer.set_header("A", ["1"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        request.heders  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

    def in_a_test(self, plugin_host: StartPlugin) -> None:
        host = plugin_host(Wrong)
        host.plugin.wrods  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        host.api.answr("get_user", None)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        host.cal("OnActivate")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


class Greeter(Router):
    plugin: WithParts

    def greet(self) -> None:
        self.plugin.greting  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


class WithParts(Plugin):
    greeting = "Hello"
    greeter = include(Greeter)
    wrong = include(Wrong)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]

    def activate(self) -> None:
        self.greeter.greted  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
