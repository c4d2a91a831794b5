"""What a type checker says of plugins: nothing of right ones, and what is wrong of wrong ones."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mypy import api

#: Lines that are wrong say so with `# error: <what mypy has to say>`.
PLUGIN = """\
from __future__ import annotations

from typing import Any

from mattermost_plugin import (
    HTTPRequest,
    HTTPResponseWriter,
    HookName,
    NotFoundError,
    Plugin,
    Router,
    RuntimeConfig,
    command,
    cron,
    hook,
    include,
    run_plugin,
)
from mattermost_plugin.testing import StartPlugin
from mattermost_plugin.types import Channel, Command, CommandArgs, CommandResponse, FileInfo, PluginContext, Post, User


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
            self.logger.info("%s %s %s", value, status, headers.get("A"))
        except NotFoundError as error:
            self.logger.info(error.message)

    @hook
    def ExecuteCommand(self, ctx: PluginContext, args: CommandArgs) -> CommandResponse | dict[str, str]:
        return CommandResponse(text=args.command) if args.trigger_id else {"text": "hi"}

    @hook()
    def ServeHTTP(self, ctx: PluginContext, writer: HTTPResponseWriter, request: HTTPRequest) -> None:
        for piece in request.stream():
            writer.write(piece)


class Greeter(Router):
    plugin: WithParts
    greeted = 0

    @command("greet")
    def greet(self, ctx: PluginContext, args: CommandArgs, text: str) -> str:
        return f"{self.plugin.greeting}, {self.api.get_user(args.user_id).first_name}"

    @cron("@daily", timezone="Europe/Vienna")
    async def report(self) -> None:
        await self.async_kv.set("greeted", self.greeted)
        self.plugin.greting  # error: has no attribute "greting"


class WithParts(Plugin):
    greeting = "Hello"
    greeter = include(Greeter)
    wrong = include(Right)  # error: Value of type variable

    @hook(HookName.OnActivate)
    def activate(self) -> None:
        self.greeter.greeted += 1
        self.greeter.greted  # error: has no attribute "greted"


class Wrong(Plugin):
    @hook(HookName.OnActivate)  # error: _OnActivate
    def activate(self, ctx: PluginContext) -> None: ...

    @hook(HookName.MessageWillBePosted)  # error: _MessageWillBePosted
    def check(self, ctx: PluginContext, post: User) -> None: ...

    @hook("MessageWillBeUpdated")  # error: _MessageWillBeUpdated
    def update(self, ctx: PluginContext, new: Post, old: Post) -> bool:
        return True

    @hook(HookName.UserWillLogIn)  # error: _UserWillLogIn
    async def log_in(self, ctx: PluginContext, user: User) -> User:
        return user

    @hook(HookName.MessageHasBeenPosted)
    def posted(self, ctx: PluginContext, post: Post) -> None:
        self.api.get_usr("u")  # error: has no attribute "get_usr"
        self.api.get_user(5)  # error: incompatible type "int"
        self.api.get_user("u").nam  # error: has no attribute "nam"
        post.mesage = "m"  # error: has no attribute "mesage"
        Post(mesage="m")  # error: Unexpected keyword argument "mesage"


def test_right(plugin_host: StartPlugin) -> None:
    host = plugin_host(Right, config={"words": ["no"]})
    host.plugin.words.append("never")
    host.plugin.wrods  # error: has no attribute "wrods"
    assert host.call("MessageWillBePosted", Post()).rejection_reason == ""


run_plugin(Right)
"""


def test_types(tmp_path: Path) -> None:
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN)
    flags = ["--strict", "--no-error-summary", f"--python-executable={sys.executable}", "--python-version=3.10"]
    said, problem, _ = api.run([*flags, f"--cache-dir={tmp_path}", str(file)])
    assert problem == ""
    errors = [(int(line), text) for line, text in re.findall(r"plugin\.py:(\d+): error: (.*)", said)]
    expected = [
        (number, line.split("# error: ")[1]) for number, line in enumerate(PLUGIN.splitlines(), 1) if "# error" in line
    ]
    assert [number for number, _ in errors] == [number for number, _ in expected], said
    for (_, text), (_, part) in zip(errors, expected):
        assert part in text
