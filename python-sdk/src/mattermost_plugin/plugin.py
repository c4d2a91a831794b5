"""The base class of plugins."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Callable, ClassVar, cast

from effect_plugin._calls import HandlerCall
from effect_plugin._plugin import BasePlugin
from effect_plugin._registry import Handlers

from ._contract import CONTRACT
from .config import RuntimeConfig

if TYPE_CHECKING:
    from .client import AsyncPluginAPIClient, PluginAPIClient
    from .commands import Commands
    from .types import CommandArgs, PluginContext

#: The attribute of a method that handles commands.
COMMANDS_ATTRIBUTE = "_mattermost_plugin_commands"


class MattermostHandlers(Handlers):
    """What a class handles: slash commands, too."""

    def __init__(self, contract: Any, owner: type, routers: Mapping[str, type] | None = None) -> None:
        super().__init__(contract, owner, routers)
        self.commands: Commands | None = None
        if any(hasattr(method, COMMANDS_ATTRIBUTE) for method in self.methods.values()):
            from .commands import Commands

            self.commands = Commands(self.methods)
            # The SDK itself registers commands, and routes them.
            self.implemented |= {"OnActivate", "ExecuteCommand"}


class Plugin(BasePlugin):
    """A plugin: a class whose methods marked with `@hook` answer the host.

    A subclass with an `__init__` of its own takes `api` and `config` by keyword and hands them on.
    """

    _contract = CONTRACT

    _handlers_class = MattermostHandlers

    _handlers: ClassVar[Handlers] = MattermostHandlers(CONTRACT, object)

    def __init__(
        self,
        api: PluginAPIClient | None = None,
        config: RuntimeConfig | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        super().__init__(api, config, logger)

    @property
    def api(self) -> PluginAPIClient:
        """The host API, connected before the first hook. RuntimeError in a plugin that runs without a host."""
        return cast("PluginAPIClient", super().api)

    @property
    def async_api(self) -> AsyncPluginAPIClient:
        """The host API for `async def` handlers, connected before the first hook. RuntimeError without a host."""
        return cast("AsyncPluginAPIClient", super().async_api)

    @property
    def config(self) -> RuntimeConfig:
        """What the host told the plugin of its surroundings; the defaults in a plugin that runs without a host."""
        return cast("RuntimeConfig", self._config or RuntimeConfig())

    @property
    def _commands(self) -> Commands | None:
        return cast("MattermostHandlers", self._handlers).commands

    def _handlers_of(self, hook: str) -> list[Callable[..., Any]]:
        if self._chooses_handler(hook):
            return [self._execute_command]
        handlers = super()._handlers_of(hook)
        return [self._register_commands, *handlers] if hook == "OnActivate" and self._commands else handlers

    def _chooses_handler(self, hook: str) -> bool:
        return hook == "ExecuteCommand" and bool(self._commands)

    def _calls(self, hook: str, arguments: Callable[[], list[Any]]) -> list[HandlerCall]:
        if self._chooses_handler(hook):
            return [self._command_call(*arguments())]
        return super()._calls(hook, arguments)

    def _register_commands(self) -> None:
        for registration in self._commands.registrations() if self._commands else ():
            self.api.register_command(registration)

    #: No method of the author's: the log calls it so.
    _register_commands.__qualname__ = "registering its commands"

    def _command_call(self, ctx: PluginContext, args: CommandArgs) -> HandlerCall:
        """The call that ExecuteCommand becomes in a plugin with commands."""
        commands = self._commands
        assert commands is not None, "whoever has none does not come here"
        found = commands.find(args.command)
        if found is not None:
            attribute, text = found
            return HandlerCall(attrgetter(attribute)(self), [ctx, args, text])
        own = self._handlers.hooks.get("ExecuteCommand")
        if own:
            return HandlerCall(attrgetter(own[0])(self), [ctx, args])
        return HandlerCall(commands.usage, [args.command])

    def _execute_command(self, ctx: PluginContext, args: CommandArgs) -> Any:
        call = self._command_call(ctx, args)
        return call.function(*call.args)
