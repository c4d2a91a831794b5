"""The base class of plugins."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Coroutine
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Callable, ClassVar, TypeVar

from ._body import STALL_LIMIT
from ._calls import HandlerCall
from ._config import RuntimeConfig
from ._hooks import HOOK_ATTRIBUTE, HookRegistrationError, signature_of
from ._jobs import Background
from ._registry import AnyIncluded, AnyRouter, Handlers, members_of

if TYPE_CHECKING:
    from ._settings import Settings
    from ._store import AsyncKeyValueStore, KeyValueStore
    from .contract import Contract
    from .host import AsyncHost, Host

PluginClass = TypeVar("PluginClass", bound="BasePlugin")


class BasePlugin:
    """What the plugins of all contracts have."""

    #: Threads for a sync handler of ServeHTTP, or a WSGI application: so many requests at once are worked on.
    http_threads: ClassVar[int] = 64

    #: Seconds for which such a thread waits for a client that takes nothing of its response, or sends nothing of its
    #: request; then the client is as good as gone.
    http_stall_limit: ClassVar[float] = STALL_LIMIT

    #: Set by each contract's own class.
    _contract: ClassVar[Contract]

    _handlers_class: ClassVar[type[Handlers]] = Handlers

    _handlers: ClassVar[Handlers] = Handlers(None, object)

    _background: Background | None = None

    #: Not an argument of `__init__`: plugins written for the published SDK take two and hand on two.
    _async_api: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        routers = {name: each.router for name, each in members_of(cls).items() if isinstance(each, AnyIncluded)}
        handlers = cls._handlers_class(getattr(cls, "_contract", None), cls, routers)
        handlers.warn_of_lost(cls._handlers, cls)
        cls._handlers = handlers

    def __init__(
        self,
        api: Any = None,
        config: RuntimeConfig | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self._api = api
        self._config = config
        self._logger = logger or logging.getLogger(type(self).__name__)

    @property
    def api(self) -> Any:
        """The host API, connected before the first hook. RuntimeError in a plugin that runs without a host."""
        if self._api is None:
            raise RuntimeError("this plugin has no host API: it was not started by a host")
        return self._api

    @property
    def async_api(self) -> Any:
        """The host API for `async def` handlers, connected before the first hook. RuntimeError without a host."""
        if self._async_api is None:
            raise RuntimeError("this plugin has no host API: it was not started by a host")
        return self._async_api

    @property
    def config(self) -> RuntimeConfig:
        """What the host told the plugin of its surroundings; the defaults in a plugin that runs without a host."""
        return self._config or RuntimeConfig()

    @property
    def logger(self) -> logging.Logger:
        """A logger named as the class is; what it logs arrives in the host's log with its level and `extra` fields."""
        return self._logger

    @classmethod
    def implemented_hooks(cls) -> list[str]:
        """The names of the hooks that have a handler, here or in an included router, sorted."""
        return sorted(cls._handlers.implemented)

    @classmethod
    def has_hook(cls, name: str) -> bool:
        """Whether the hook has a handler, here or in an included router."""
        return name in cls._handlers.implemented

    def get_hook_handler(self, name: str) -> Callable[..., Any] | None:
        """The bound handler of a hook, or None. Several are one that calls them all, and answers the first answer."""
        handlers = self._handlers_of(name)
        if len(handlers) == 1 or not self.has_hook(name):
            return handlers[0] if handlers else None
        return _together(handlers)

    def _handlers_of(self, hook: str) -> list[Callable[..., Any]]:
        """The bound handlers of a hook, in the order in which they are called."""
        handlers = [attrgetter(attribute)(self) for attribute in self._handlers.hooks.get(hook, ())]
        # What was activated last may lean on what was before it.
        return handlers[::-1] if hook == "OnDeactivate" else handlers

    def _calls(self, hook: str, arguments: Callable[[], list[Any]]) -> list[HandlerCall]:
        """The calls that a hook's call becomes. Each handler is given arguments of its own."""
        return [HandlerCall(handler, arguments()) for handler in self._handlers_of(hook)]

    def _chooses_handler(self, hook: str) -> bool:
        """Whether it depends on what a hook is asked which handlers it has."""
        return False

    @property
    def kv(self) -> KeyValueStore:
        """The plugin's key-value store, with values that JSON can say. For sync handlers."""
        from ._store import KeyValueStore

        return KeyValueStore(self.api)

    @property
    def async_kv(self) -> AsyncKeyValueStore:
        """The plugin's key-value store, with values that JSON can say. For `async def` handlers."""
        from ._store import AsyncKeyValueStore

        return AsyncKeyValueStore(self.async_api)

    def load_settings(self, kind: type[Settings]) -> Settings:
        """The plugin's configuration as an instance of a dataclass or a pydantic model; see `read_settings`.

        For sync handlers of OnConfigurationChange and OnActivate, whose operator is told what is wrong.
        """
        from ._settings import read_settings

        return read_settings(kind, self._contract.settings(self.api))

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Runs a coroutine in the background, from whichever handler, sync ones too. What it raises is logged.

        It is cancelled when the plugin ends. RuntimeError in a plugin that runs without a host.
        """
        if self._background is None:
            coroutine.close()
            raise RuntimeError("this plugin has no event loop: it was not started by a host")
        self._background.run(coroutine)

    @contextlib.asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        """What lives as long as the plugin does: its background, and the web application that is its ServeHTTP."""
        lifespan = getattr(self.get_hook_handler("ServeHTTP"), "lifespan", None)
        self._background = Background(asyncio.get_running_loop())
        try:
            async with contextlib.AsyncExitStack() as stack:
                if lifespan is not None:
                    await stack.enter_async_context(lifespan(self))
                yield
        finally:
            await self._background.end()

    def _start_jobs(self) -> None:
        if self._background is not None:
            jobs = self._handlers.jobs.items()
            self._background.start_jobs({attrgetter(attribute)(self): schedule for attribute, schedule in jobs})

    def _stop_jobs(self) -> None:
        if self._background is not None:
            self._background.stop_jobs()

    def invoke_hook(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Calls the handler of a hook, as a test might; what an `async def` handler returns is to be awaited.

        None where the hook has no handler.
        """
        handler = self.get_hook_handler(name)
        return None if handler is None else handler(*args, **kwargs)


def _together(handlers: list[Callable[..., Any]]) -> Callable[..., Any]:
    def call_all(*args: Any, **kwargs: Any) -> Any:
        results = [handler(*args, **kwargs) for handler in handlers]
        return _awaited(results) if any(map(inspect.isawaitable, results)) else _first(results)

    return call_all


async def _awaited(results: list[Any]) -> Any:
    return _first([await result if inspect.isawaitable(result) else result for result in results])


def _first(results: list[Any]) -> Any:
    return next((result for result in results if result is not None), None)


class Plugin(BasePlugin):
    """A plugin: a class whose methods marked with `@hook` answer the host. Each contract's package has a subclass.

    A subclass with an `__init__` of its own takes `api` and `config` by keyword and hands them on.
    """

    @property
    def host(self) -> Host:
        """What every host has beside the API of its contract: who it is, its log, settings as they are stored."""
        from .host import Host

        return Host(self.api)

    @property
    def async_host(self) -> AsyncHost:
        """The same for `async def` handlers."""
        from .host import AsyncHost

        return AsyncHost(self.async_api)


def make_plugin(plugin_class: type[PluginClass], api: Any, async_api: Any, config: RuntimeConfig) -> PluginClass:
    """A plugin, as hosts make it. Raises TypeError for a class that is none, or whose `__init__` is another one."""
    contract_of(plugin_class)
    try:
        signature_of(plugin_class).bind(api=api, config=config)
    except TypeError:
        raise TypeError(
            f"{plugin_class.__name__}.__init__ must be (self, api=None, config=None), and hand both on: "
            "super().__init__(api=api, config=config)"
        ) from None
    plugin = plugin_class(api=api, config=config)
    if not hasattr(plugin, "_api"):
        # Its own __init__ has not called ours.
        BasePlugin.__init__(plugin, api=api, config=config)
    plugin._async_api = async_api
    for attribute, value in vars(plugin).items():
        if hasattr(value, HOOK_ATTRIBUTE):
            raise HookRegistrationError(
                f"{plugin_class.__name__}.{attribute} is a handler that __init__ has set; set it in the class"
            )
    routers = [getattr(plugin, attribute) for attribute in plugin._handlers.routers]
    for attribute, value in vars(plugin).items():
        if isinstance(value, AnyRouter) and value not in routers:
            kind = type(value).__name__
            raise HookRegistrationError(
                f"{plugin_class.__name__}.{attribute} is a router that __init__ has set; include it in the class: "
                f"{attribute} = include({kind})"
            )
    if not plugin.implemented_hooks():
        plugin.logger.warning("%s has no hooks: @hook has to be the outermost decorator", plugin_class.__name__)
    return plugin


def contract_of(plugin_class: Any) -> Contract:
    """The contract of a plugin's class. Raises TypeError for what is none."""
    if not isinstance(plugin_class, type) or not issubclass(plugin_class, BasePlugin):
        raise TypeError(f"a subclass of Plugin is needed, the class itself; {plugin_class!r} is none")
    contract: Contract | None = getattr(plugin_class, "_contract", None)
    if contract is None:
        raise TypeError(f"{plugin_class.__name__} has no contract: take Plugin of the contract's own package")
    return contract
