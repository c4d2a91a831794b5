"""Plugins that type checkers have nothing to say against, however strict they are."""

# pyright: strict

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mattermost_plugin import (
    HookName,
    HTTPRequest,
    HTTPResponseWriter,
    NotFoundError,
    Plugin,
    Router,
    RuntimeConfig,
    ValidationError,
    command,
    cron,
    every,
    hook,
    include,
    run_plugin,
)
from mattermost_plugin.testing import HTTPAnswer, StartPlugin
from mattermost_plugin.types import (
    Channel,
    ChannelType,
    Command,
    CommandArgs,
    CommandResponse,
    FileInfo,
    OnInstallEvent,
    PluginContext,
    Post,
    User,
)
from mattermost_plugin.web import asgi


class Right(Plugin):
    def __init__(self, api: Any = None, config: RuntimeConfig | None = None) -> None:
        super().__init__(api=api, config=config)
        self.words: list[str] = []

    @hook(HookName.OnActivate)
    def activate(self) -> None:
        self.api.register_command(Command(trigger="t", auto_complete=True))
        configured: dict[str, Any] = self.api.get_plugin_config()
        self.words = configured["words"]

    @hook(HookName.MessageWillBePosted)
    async def check(self, ctx: PluginContext, post: Post) -> tuple[Post | None, str]:
        channel: Channel = await self.async_api.get_channel(post.channel_id)
        post.props["seen_in"] = channel.name
        return (None, "no") if post.message in self.words else (post, "")

    @hook("MessageWillBeUpdated")
    def check_update(self, ctx: PluginContext, new: Post, old: Post) -> str | None:
        return None if new.user_id == old.user_id else "not yours"

    @hook(HookName.MessagesWillBeConsumed)
    def shown(self, posts: list[Post]) -> list[Post]:
        return [post for post in posts if not post.delete_at]

    @hook(HookName.FileWillBeUploaded)
    def upload(self, ctx: PluginContext, info: FileInfo, content: bytes) -> tuple[FileInfo, bytes, str]:
        return info, content.strip(), ""

    @hook(HookName.UserHasJoinedChannel)
    def joined(self, ctx: PluginContext, member: Any, actor: User | None) -> None:
        try:
            value: bytes | None = self.api.kv_get(actor.id if actor else "nobody")
            status, headers, body = self.api.plugin_http("GET", "/other/x")
            self.logger.info("%s %s %s %s", value, status, headers.get("A"), body.decode())
        except NotFoundError as error:
            self.logger.info(error.message)

    @hook
    def ExecuteCommand(self, ctx: PluginContext, args: CommandArgs) -> CommandResponse | dict[str, str]:
        return CommandResponse(text=args.command) if args.trigger_id else {"text": "hi"}

    @hook()
    def ServeHTTP(self, ctx: PluginContext, writer: HTTPResponseWriter, request: HTTPRequest) -> None:
        for piece in request.stream():
            writer.write(piece)


@dataclass
class Settings:
    api_key: str
    limit: int = 10


class RightAsWell(Plugin):
    settings = Settings("")

    @hook(HookName.OnConfigurationChange)
    def configure(self) -> None:
        self.settings = self.load_settings(Settings)
        self.settings.limit += 1

    @hook(HookName.ExecuteCommand)
    def answer(self, ctx: PluginContext, args: CommandArgs) -> str:
        return "a text is the answer's"

    @command("todo add", hint="<text>")
    async def add(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        count: int = await self.async_kv.get("count", 0)
        await self.async_kv.set("count", count + 1, expires=timedelta(days=1))
        return text

    @command("todo list")
    def all(self, ctx: PluginContext, args: CommandArgs, text: str) -> CommandResponse | None:
        return CommandResponse(text=self.kv.get("text", "")) if text else None

    @every(seconds=60, at_once=True)
    async def sweep(self) -> None:
        self.create_task(self.later())

    async def later(self) -> int:
        open_channel = await self.async_api.create_channel(Channel(type=ChannelType.OPEN, name="c"))
        private: ChannelType = ChannelType.PRIVATE
        is_open: bool = open_channel.type == ChannelType.OPEN or open_channel.type == "O"
        return private.number if is_open else 0

    @hook(HookName.ChannelHasBeenCreated)
    @hook(HookName.OnInstall)
    async def several(self, ctx: PluginContext, given: Channel | OnInstallEvent) -> None: ...

    @hook(HookName.MessageWillBeUpdated)
    async def refuse(self, ctx: PluginContext, new: Post, old: Post) -> str:
        raise ValidationError("no")

    @hook(HookName.MessageWillBePosted)
    def change(self, ctx: PluginContext, post: Post) -> dict[str, str]:
        return {"message": post.message.upper()}

    @hook(HookName.ServeHTTP)
    async def serve(self, ctx: PluginContext, writer: HTTPResponseWriter, request: HTTPRequest) -> None:
        async for piece in request.stream():
            writer.write(piece)
        writer.json({"query": request.query, "all": request.get_all_headers("A")}, 201)
        await writer.drain()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None: ...


class RightWeb(Plugin):
    serve = asgi(application)


def test_right(plugin_host: StartPlugin) -> None:
    host = plugin_host(Right, config={"words": ["no"]})
    host.plugin.words.append("never")
    assert host.call("MessageWillBePosted", Post()).rejection_reason == ""
    answer: HTTPAnswer = host.request("GET", "/", headers={"A": "1"})
    host.api.answer("get_user", User(username=answer.text))


if __name__ == "__main__":
    run_plugin(Right)


class Greeter(Router):
    plugin: WithParts
    greeted = 0

    @command("greet")
    def greet(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        return f"{self.plugin.greeting}, {self.api.get_user(args.user_id).first_name}"

    @cron("@daily", timezone="Europe/Vienna")
    async def report(self) -> None:
        await self.async_kv.set("greeted", self.greeted)


class WithParts(Plugin):
    greeting = "Hello"
    greeter = include(Greeter)

    @hook(HookName.OnActivate)
    def activate(self) -> None:
        self.greeter.greeted += 1
