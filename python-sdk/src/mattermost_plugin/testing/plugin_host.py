"""A plugin in the test's own process, run as a host would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent import futures
from types import SimpleNamespace
from typing import Any, Generic, NamedTuple, Protocol

import grpc

from ..calls import HandlerCall, Outcome, call_in_turn
from ..client import AsyncPluginAPIClient, PluginAPIClient
from ..config import RuntimeConfig
from ..contract import HOOKS, contract_message, is_repeated
from ..descriptors import message_class
from ..dispatch import HookResultError, arguments, handler_arguments, response_of
from ..hooks import HookName
from ..limits import message_options
from ..logs import own_logger
from ..loops import EventLoop
from ..models import fill, reader
from ..plugin import PluginClass, make_plugin
from ..server import PluginServer
from ..types import PluginContext
from .host_api import FakeHostAPI
from .manifest import declared_settings

#: Seconds that anything a test asks of its plugin may take.
TEST_TIMEOUT = 30.0

#: How often OnConfigurationChange may save the configuration in turn.
_SAVES = 10

_log = own_logger("mattermost_plugin")


class HTTPAnswer(NamedTuple):
    """What a plugin answered to an HTTP request."""

    status: int
    headers: dict[str, list[str]]
    body: bytes

    @property
    def text(self) -> str:
        """The body, which is UTF-8."""
        return self.body.decode()


class PluginHost(Generic[PluginClass]):
    """Runs a plugin in the test's process, as a host would: its hooks, its HTTP, and a host API behind real gRPC."""

    def __init__(
        self,
        plugin_class: type[PluginClass],
        *,
        config: Mapping[str, Any] | None = None,
        plugin_id: str = "com.example.plugin",
        plugin_path: str = "",
    ) -> None:
        #: What the plugin sees of its host.
        self.api = FakeHostAPI(plugin_id, config or {}, declared_settings(plugin_path))
        if plugin_path:
            self.api.answer("get_bundle_path", os.path.realpath(plugin_path))
        self._root_path = f"/plugins/{plugin_id}"
        self._active = False
        with contextlib.ExitStack() as stack:
            self._loop = _running_loop(stack)
            target = _serving(self.api, stack)
            client = PluginAPIClient(target)
            stack.callback(client.close)
            client.connect_ahead()
            async_client = AsyncPluginAPIClient(target)
            self._wait(async_client.connect())
            stack.callback(lambda: self._wait(async_client.close()))
            runtime = RuntimeConfig(plugin_id=plugin_id, api_target=target, plugin_path=plugin_path)
            #: The plugin itself.
            self.plugin: PluginClass = make_plugin(plugin_class, client, async_client, runtime)
            own = EventLoop.of(self._loop)
            self._hooks = PluginServer(self.plugin, runtime, own, own)
            stack.callback(self._hooks.close)
            lifespan = self.plugin._lifespan()
            self._wait(lifespan.__aenter__())
            stack.callback(lambda: self._wait(lifespan.__aexit__(None, None, None)))
            self._resources = stack.pop_all()

    def _wait(self, coroutine: Any, what: str = "starting and ending the plugin") -> Any:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        done, _ = futures.wait([future], TEST_TIMEOUT)
        if not done:
            future.cancel()
            raise TimeoutError(f"{what} took longer than {TEST_TIMEOUT:.0f} s")
        return future.result()

    def activate(self) -> None:
        """Calls OnConfigurationChange and OnActivate, as a host does when it starts a plugin."""
        for hook in (HookName.OnConfigurationChange, HookName.OnActivate):
            error = self._call(hook.value, (), {}).error
            if error is not None and hook == HookName.OnActivate:
                raise RuntimeError(f"the plugin can't be activated: {error.message}")
        # Only an active plugin is told.
        self.api.saves = 0
        self._active = True

    def configure(self, **config: Any) -> None:
        """Changes settings of the plugin's configuration, and tells the plugin."""
        self.api.configure(config)
        self.call(HookName.OnConfigurationChange)

    def call(self, hook: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a hook; answers the fields of its response, such as `.rejection_reason`, `.modified_post` or `.error`.

        Arguments are those of the handler after `ctx`, in its order or by the contract's names; what is left out is
        empty. What the handler raises is raised here. A plugin that does not have the hook answers as one without an
        opinion does.
        """
        name = HookName(hook)
        if name == HookName.ServeHTTP:
            raise TypeError("ServeHTTP is called by host.request(method, url)")
        answer = self._call(name.value, args, kwargs)
        self._tell_of_saves()
        return answer

    def _tell_of_saves(self) -> None:
        """Tells the plugin, as a host does after its handler, of each time that it has saved its configuration."""
        for _ in range(_SAVES):
            saves, self.api.saves = self.api.saves, 0
            for _ in range(saves):
                self._call(HookName.OnConfigurationChange.value, (), {})
            if not saves:
                return
        raise AssertionError("OnConfigurationChange saves the configuration, for which a host calls it again, for ever")

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        method = HOOKS.methods_by_name[name]
        request = message_class(method.input_type)()
        names = [argument for argument in handler_arguments(method) if argument != "plugin_context"]
        if len(args) > len(names):
            raise TypeError(f"{name} takes {', '.join(names) or 'nothing'}; {len(args)} arguments were given")
        given = {"plugin_context": PluginContext(), **dict(zip(names, args)), **kwargs}
        for field in method.input_type.fields:
            if field.name in given:
                fill(request, field, given.pop(field.name))
        given.pop("plugin_context", None)
        if given:
            raise TypeError(f"{name} takes {', '.join(names) or 'nothing'}; not {', '.join(given)}")
        calls = self.plugin._calls(name, lambda: arguments(method, request))

        async def attempt(call: HandlerCall, sharing: int) -> Outcome:
            try:
                return Outcome(response_of(name, request, await self._hooks.run(call.function, call.args)))
            except HookResultError as error:
                return Outcome(error=HookResultError(f"{name} ({call.name}) {error}"))
            except Exception as error:
                if len(calls) > 1:
                    # Only the first one's is raised.
                    _log.exception("%s (%s) failed", name, call.name)
                return Outcome(error=error)

        outcome = self._wait(call_in_turn(name, calls, attempt), name)
        if outcome.error is not None:
            raise outcome.error
        response = response_of(name, request, None) if outcome.response is None else outcome.response
        fields = method.output_type.fields

        def value(field: Any) -> Any:
            unset = field.message_type is not None and not is_repeated(field) and not response.HasField(field.name)
            return None if unset else reader(field)(getattr(response, field.name))

        return SimpleNamespace(**{"error": None, **{field.name: value(field) for field in fields}})

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str | list[str]] | None = None,
        body: bytes | Iterable[bytes] = b"",
    ) -> HTTPAnswer:
        """Sends an HTTP request to ServeHTTP; answers the whole response. A body in pieces arrives in pieces.

        `url` is what the plugin sees: to a client it is below `/plugins/{plugin_id}`.
        """
        pieces = [body] if isinstance(body, bytes) else list(body)
        init = {
            "method": method,
            "url": url,
            "request_uri": self._root_path + url,
            "host": "localhost",
            "proto": "HTTP/1.1",
            "proto_major": 1,
            "proto_minor": 1,
            "remote_addr": "127.0.0.1:1",
            "content_length": len(body) if isinstance(body, bytes) else -1,
            "headers": [
                {"key": key, "values": [value] if isinstance(value, str) else value}
                for key, value in (headers or {}).items()
            ],
        }
        made = contract_message("ServeHTTPRequest")
        messages = [made(init=init), *(made(body_chunk=piece) for piece in pieces), made(body_complete=True)]
        answer: HTTPAnswer = self._wait(self._serve_http(messages), f"{method} {url}")
        self._tell_of_saves()
        return answer

    async def _serve_http(self, messages: list[Any]) -> HTTPAnswer:
        async def incoming() -> AsyncIterator[Any]:
            for message in messages:
                yield message

        call = _Call()
        await self._hooks.serve_http(incoming(), call)
        # What a web application does when it has answered has been done, too.
        await self._hooks.requests.finish(TEST_TIMEOUT)
        init = call.written[0].init
        headers = {header.key: list(header.values) for header in init.headers}
        return HTTPAnswer(init.status_code or 200, headers, b"".join(message.body_chunk for message in call.written))

    def close(self) -> None:
        """Deactivates the plugin, if it is active, and ends what it was run by."""
        with self._resources:
            if self._active:
                self._active = False
                self._call(HookName.OnDeactivate.value, (), {})
        if self.api.unanswered:
            names = ", ".join(sorted(self.api.unanswered))
            self.api.unanswered.clear()
            raise AssertionError(f"the plugin has called {names}, and the test says no answer: host.api.answer(...)")

    def __enter__(self) -> PluginHost[PluginClass]:
        try:
            self.activate()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _running_loop(stack: contextlib.ExitStack) -> asyncio.AbstractEventLoop:
    """A loop that runs on a thread of its own until the stack ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="plugin host", daemon=True)
    thread.start()

    def end() -> None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(TEST_TIMEOUT)
        loop.close()

    stack.callback(end)
    return loop


def _serving(api: FakeHostAPI, stack: contextlib.ExitStack) -> str:
    """Serves the host API until the stack ends; answers its target."""
    threads = stack.enter_context(futures.ThreadPoolExecutor(8))
    server = grpc.server(threads, options=message_options())
    server.add_generic_rpc_handlers((api.service(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stack.callback(lambda: server.stop(None).wait())
    return f"127.0.0.1:{port}"


class StartPlugin(Protocol):
    """The fixture `plugin_host`: makes a PluginHost and activates its plugin, until the test ends."""

    def __call__(
        self,
        plugin_class: type[PluginClass],
        *,
        config: Mapping[str, Any] | None = None,
        plugin_id: str = ...,
        plugin_path: str = ...,
    ) -> PluginHost[PluginClass]:
        """An active plugin of this class."""
        ...


class _Call:
    """A call of ServeHTTP as gRPC would hand it to the server."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    def invocation_metadata(self) -> tuple[()]:
        """Nobody traces a test."""
        return ()

    async def write(self, message: Any) -> None:
        """Keeps a message of the response."""
        self.written.append(message)

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        """Fails the test's request as it would fail a host's."""
        raise RuntimeError(details)
