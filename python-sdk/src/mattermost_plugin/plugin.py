"""The base class of plugins."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Callable, ClassVar, TypeVar, cast

from .client import AsyncPluginAPIClient, PluginAPIClient
from .commands import Commands
from .config import RuntimeConfig
from .hooks import HOOK_ATTRIBUTE, HookRegistrationError, signature_of
from .http import STALL_LIMIT
from .jobs import Background, JobSpec, jobs_of
from .settings import Settings, read_settings
from .store import AsyncKeyValueStore, KeyValueStore
from .types import CommandArgs, PluginContext

PluginClass = TypeVar("PluginClass", bound="Plugin")


class Plugin:
    """A plugin: a class whose methods marked with `@hook` answer the host.

    A subclass with an `__init__` of its own takes `api` and `config` by keyword and hands them on.
    """

    #: Threads for a sync handler of ServeHTTP, or a WSGI application: so many requests at once are worked on.
    http_threads: ClassVar[int] = 64

    #: Seconds for which such a thread waits for a client that takes nothing of its response, or sends nothing of its
    #: request; then the client is as good as gone.
    http_stall_limit: ClassVar[float] = STALL_LIMIT

    _hook_registry: ClassVar[dict[str, str]] = {}

    _commands: ClassVar[Commands] = Commands({})

    _jobs: ClassVar[dict[str, JobSpec]] = {}

    #: The attributes of the class's own handlers of hooks that the SDK handles, for its commands and jobs.
    _own_handlers: ClassVar[dict[str, str]] = {}

    _background: Background | None = None

    #: Not an argument of `__init__`: plugins written for the published SDK take two and hand on two.
    _async_api: AsyncPluginAPIClient | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        registry: dict[str, str] = {}
        handlers = {name: getattr(cls, name) for name in dir(cls) if hasattr(getattr(cls, name, None), HOOK_ATTRIBUTE)}
        public = [handler for name, handler in handlers.items() if not name.startswith("_")]
        for attribute, handler in handlers.items():
            name = getattr(handler, HOOK_ATTRIBUTE)
            if attribute.startswith("_"):
                if handler in public:
                    continue
                raise HookRegistrationError(
                    f"{cls.__name__}.{attribute} handles {name}, but its name begins with an underscore; rename it: "
                    "hosts of the published SDK pass such handlers over"
                )
            if name in registry:
                raise HookRegistrationError(
                    f"{cls.__name__}.{registry[name]} and {cls.__name__}.{attribute} both handle {name}; keep one"
                )
            registry[name] = attribute
        methods = {name: getattr(cls, name, None) for name in dir(cls)}
        cls._jobs = jobs_of(methods)
        cls._commands = Commands(methods)
        cls._own_handlers = dict(registry)
        if cls._commands:
            registry["ExecuteCommand"] = "_execute_command"
        if cls._commands or cls._jobs:
            registry["OnActivate"] = "_activate"
        inherited: dict[str, str] = getattr(super(cls, cls), "_hook_registry", {})
        for name, attribute in inherited.items():
            # Under the published SDK, too, that handler is gone, and nobody may have meant it: a veto, say.
            if name not in registry and callable(getattr(cls, attribute)):
                warnings.warn(
                    f"{cls.__name__}.{attribute} takes the place of the handler of {name} and is none; mark it "
                    f"@hook(HookName.{name}), or set {attribute} = None",
                    stacklevel=2,
                )
        cls._hook_registry = registry

    def __init__(
        self,
        api: PluginAPIClient | None = None,
        config: RuntimeConfig | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self._api = api
        self._config = config
        self._logger = logger or logging.getLogger(type(self).__name__)

    @property
    def api(self) -> PluginAPIClient:
        """The host API, connected before the first hook. RuntimeError in a plugin that runs without a host."""
        if self._api is None:
            raise RuntimeError("this plugin has no host API: it was not started by a host")
        return self._api

    @property
    def async_api(self) -> AsyncPluginAPIClient:
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
        """The names of the hooks that have a handler, sorted."""
        return sorted(cls._hook_registry)

    @classmethod
    def has_hook(cls, name: str) -> bool:
        """Whether the hook has a handler."""
        return name in cls._hook_registry

    def get_hook_handler(self, name: str) -> Callable[..., Any] | None:
        """The bound handler of a hook, or None."""
        return self._bound(self._hook_registry.get(name))

    def _bound(self, attribute: str | None) -> Callable[..., Any] | None:
        return None if attribute is None else cast("Callable[..., Any]", getattr(self, attribute))

    @property
    def kv(self) -> KeyValueStore:
        """The plugin's key-value store, with values that JSON can say. For sync handlers."""
        return KeyValueStore(self.api)

    @property
    def async_kv(self) -> AsyncKeyValueStore:
        """The plugin's key-value store, with values that JSON can say. For `async def` handlers."""
        return AsyncKeyValueStore(self.async_api)

    def load_settings(self, kind: type[Settings]) -> Settings:
        """The plugin's configuration as an instance of a dataclass or a pydantic model; see `read_settings`.

        For sync handlers of OnConfigurationChange and OnActivate, whose operator is told what is wrong.
        """
        return read_settings(kind, self.api.load_plugin_configuration().json() or {})

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
            # An empty stack: up to Python 3.9 `nullcontext` is none of the async ones.
            async with contextlib.AsyncExitStack() if lifespan is None else lifespan(self):
                yield
        finally:
            await self._background.end()

    def _start_jobs(self) -> None:
        if self._background is not None:
            self._background.start_jobs({getattr(self, name): spec for name, spec in self._jobs.items()})

    def _stop_jobs(self) -> None:
        if self._background is not None:
            self._background.stop_jobs()

    def _activate(self) -> Any:
        """The handler of OnActivate of a plugin with commands or jobs."""
        for registration in self._commands.registrations():
            self.api.register_command(registration)
        own = self._bound(self._own_handlers.get("OnActivate"))
        return None if own is None else own()

    def _execute_command(self, ctx: PluginContext, args: CommandArgs) -> Any:
        """The handler of ExecuteCommand of a plugin with commands."""
        found = self._commands.find(args.command)
        if found is not None:
            attribute, text = found
            return getattr(self, attribute)(ctx, args, text)
        own = self._bound(self._own_handlers.get("ExecuteCommand"))
        return self._commands.usage(args.command) if own is None else own(ctx, args)

    def invoke_hook(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Calls the handler of a hook, as a test might; what an `async def` handler returns is to be awaited.

        None where the hook has no handler.
        """
        handler = self.get_hook_handler(name)
        return None if handler is None else handler(*args, **kwargs)


def make_plugin(
    plugin_class: type[PluginClass],
    api: PluginAPIClient | None,
    async_api: AsyncPluginAPIClient | None,
    config: RuntimeConfig,
) -> PluginClass:
    """A plugin, as hosts make it. Raises TypeError for a class that is none, or whose `__init__` is another one."""
    if not isinstance(plugin_class, type) or not issubclass(plugin_class, Plugin):
        raise TypeError(f"a subclass of mattermost_plugin.Plugin is needed, the class itself; {plugin_class!r} is none")
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
        Plugin.__init__(plugin, api=api, config=config)
    plugin._async_api = async_api
    for attribute, value in vars(plugin).items():
        if hasattr(value, HOOK_ATTRIBUTE):
            raise HookRegistrationError(
                f"{plugin_class.__name__}.{attribute} is a handler that __init__ has set; set it in the class"
            )
    if not plugin.implemented_hooks():
        plugin.logger.warning("%s has no hooks: @hook has to be the outermost decorator", plugin_class.__name__)
    return plugin
