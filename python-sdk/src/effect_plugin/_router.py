"""Plugins of several classes and files: routers, and how a plugin includes them."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from ._config import RuntimeConfig
from ._hooks import HookRegistrationError, signature_of
from ._registry import AnyIncluded, AnyRouter, Handlers, members_of

if TYPE_CHECKING:
    from ._plugin import BasePlugin
    from ._settings import Settings
    from ._store import AsyncKeyValueStore, KeyValueStore
    from .contract import Contract

RouterClass = TypeVar("RouterClass", bound="Router")


class Router(AnyRouter):
    """A part of a plugin: its methods are marked with `@hook`, `@every` and `@cron`, as a plugin's are.

    A plugin includes it: `reminders = include(Reminders)` in its class. A subclass says what its plugin is, for type
    checkers, by `plugin: MyPlugin` in its class; one with an `__init__` of its own takes the plugin and hands it on.
    """

    #: The plugin that includes it.
    plugin: Any

    _contract: ClassVar[Contract | None] = None

    _handlers_class: ClassVar[type[Handlers]] = Handlers

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, member in members_of(cls).items():
            if isinstance(member, Included):
                raise HookRegistrationError(
                    f"{cls.__name__}.{name}: a router includes no other; include both in the plugin"
                )
        # What can't work fails here, and not only where the router is included.
        cls._handlers_class(cls._contract, cls)

    def __init__(self, plugin: BasePlugin) -> None:
        self.plugin = plugin
        self._plugin = plugin

    @property
    def api(self) -> Any:
        """The host API; see `Plugin.api`."""
        return self._plugin.api

    @property
    def async_api(self) -> Any:
        """The host API for `async def` handlers; see `Plugin.async_api`."""
        return self._plugin.async_api

    @property
    def kv(self) -> KeyValueStore:
        """The plugin's key-value store, for sync handlers; all of a plugin share one."""
        return self._plugin.kv

    @property
    def async_kv(self) -> AsyncKeyValueStore:
        """The plugin's key-value store, for `async def` handlers."""
        return self._plugin.async_kv

    @property
    def config(self) -> RuntimeConfig:
        """What the host told the plugin of its surroundings."""
        return self._plugin.config

    @property
    def logger(self) -> logging.Logger:
        """A logger below the plugin's, named as the router's class is: `MyPlugin.Reminders`."""
        return self._plugin.logger.getChild(type(self).__name__)

    def load_settings(self, kind: type[Settings]) -> Settings:
        """The plugin's configuration as an instance of a class; see `Plugin.load_settings`."""
        return self._plugin.load_settings(kind)

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Runs a coroutine in the background; see `Plugin.create_task`."""
        self._plugin.create_task(coroutine)


def include(router: type[RouterClass]) -> Included[RouterClass]:
    """Includes a router in a plugin: `reminders = include(Reminders)` in the plugin's class.

    Each plugin has a router of its own, made with the plugin as its argument when the host starts it, or when it is
    asked for: `plugin.reminders`. Raises TypeError for what is no subclass of Router or takes other arguments; and the
    plugin's class raises HookRegistrationError where two would answer the same hook or command.
    """
    if not isinstance(router, type) or not issubclass(router, Router):
        raise TypeError(f"include() takes a subclass of Router, the class itself, not {router!r}")
    try:
        signature_of(router).bind(None)
    except TypeError:
        raise TypeError(
            f"{router.__name__}.__init__ must be (self, plugin), and hand it on: super().__init__(plugin)"
        ) from None
    return Included(router)


class Included(AnyIncluded, Generic[RouterClass]):
    """A router as an attribute of a plugin's class; of a plugin it is the router itself."""

    def __init__(self, router: type[RouterClass]) -> None:
        self.router: type[RouterClass] = router

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, plugin: None, owner: type) -> Included[RouterClass]: ...

    @overload
    def __get__(self, plugin: BasePlugin, owner: type) -> RouterClass: ...

    def __get__(self, plugin: BasePlugin | None, owner: type) -> Included[RouterClass] | RouterClass:
        if plugin is None:
            return self
        router = self.router(plugin)
        if not hasattr(router, "_plugin"):
            # Its own __init__ has not called ours.
            Router.__init__(router, plugin)
        # From now on the plugin's own attribute is found.
        return vars(plugin).setdefault(self._name, router)  # type: ignore[no-any-return]
