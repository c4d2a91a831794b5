"""A plugin in the test's own process, run as a host would."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent import futures
from types import SimpleNamespace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import grpc

from .._calls import HandlerCall, Outcome, call_in_turn
from .._descriptors import message_class
from .._dispatch import HookFailed, HookResultError, arguments, handler_arguments, response_of
from .._fields import is_repeated
from .._generator.names import attribute_of
from .._limits import message_options
from .._loops import EventLoop
from .._plugin import PluginClass, contract_of, make_plugin
from .._server import PluginServer
from .._values import fill, reader, to_message
from ..contract import Contract
from ..logs import own_logger
from .host_api import FakeHostAPI
from .manifest import declared_settings

#: Seconds that anything a test asks of its plugin may take.
TEST_TIMEOUT = 30.0

_log = own_logger("effect_plugin")

Host = TypeVar("Host", bound="PluginHost[Any]")


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
        self._contract = contract_of(plugin_class)
        self._api = self._make_api(self._contract, plugin_id, config or {}, declared_settings(plugin_path))
        self._api.plugin_path = os.path.realpath(plugin_path) if plugin_path else ""
        self._root_path = f"/plugins/{plugin_id}"
        self._active = False
        with contextlib.ExitStack() as stack:
            self._loop = _running_loop(stack)
            target = _serving(self._api, stack)
            client = self._contract.client(target)
            stack.callback(client.close)
            client.connect_ahead()
            async_client = self._contract.async_client(target)
            self._wait(async_client.connect())
            stack.callback(lambda: self._wait(async_client.close()))
            runtime = self._contract.config_class(plugin_id=plugin_id, api_target=target, plugin_path=plugin_path)
            #: The plugin itself.
            self.plugin: PluginClass = make_plugin(plugin_class, client, async_client, runtime)
            own = EventLoop.of(self._loop)
            self._hooks = PluginServer(self.plugin, runtime, own, own)
            stack.callback(self._hooks.close)
            lifespan = self.plugin._lifespan()
            self._wait(lifespan.__aenter__())
            stack.callback(lambda: self._wait(lifespan.__aexit__(None, None, None)))
            self._resources = stack.pop_all()

    def _make_api(
        self, contract: Contract, plugin_id: str, config: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> FakeHostAPI:
        return FakeHostAPI(contract, plugin_id, config, settings)

    @property
    def api(self) -> FakeHostAPI:
        """What the plugin sees of its host."""
        return self._api

    def _wait(self, coroutine: Any, what: str = "starting and ending the plugin") -> Any:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        done, _ = futures.wait([future], TEST_TIMEOUT)
        if not done:
            future.cancel()
            raise TimeoutError(f"{what} took longer than {TEST_TIMEOUT:.0f} s")
        return future.result()

    def activate(self) -> None:
        """Calls OnConfigurationChange and OnActivate, as a host does when it starts a plugin."""
        for hook in ("OnConfigurationChange", "OnActivate"):
            error = self._failure_of(hook)
            if error and hook == "OnActivate":
                raise RuntimeError(f"the plugin can't be activated: {error}")
        self._active = True

    def _failure_of(self, hook: str) -> str:
        """Calls a hook of the plugin's life; answers why it says that it has failed."""
        try:
            error = self._call(hook, (), {}).error
        except HookFailed as failed:
            return str(failed)
        return "" if error is None else str(error.message)

    def configure(self, **config: Any) -> None:
        """Changes settings of the plugin's configuration, and tells the plugin."""
        self.api.configure(config)
        self.call("OnConfigurationChange")

    def call(self, hook: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a hook; answers the fields of its response, such as `.rejection_reason`, `.modified_post` or `.error`.

        Arguments are those of the handler after `ctx`, in its order or by the contract's names; what is left out is
        empty. What the handler raises is raised here. A plugin that does not have the hook answers as one without an
        opinion does.
        """
        name = str(getattr(hook, "value", hook))
        if name not in self._contract.hooks:
            raise ValueError(f"{name!r} is no hook of {self._contract.package}")
        if name == "ServeHTTP":
            raise TypeError("ServeHTTP is called by host.request(method, url)")
        answer = self._call(name, args, kwargs)
        self._after_a_call()
        return answer

    def _after_a_call(self) -> None:
        """What a host does once a handler has returned."""

    def _given(self) -> dict[str, Any]:
        """The fields of a hook's request that the host fills, and no test."""
        return {}

    def _request(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The request of a hook's call. Raises TypeError for what the hook does not take."""
        method = self._contract.hooks[name]
        request = message_class(method.input_type)()
        by_host = self._given()
        names = [argument for argument in handler_arguments(self._contract, method) if argument not in by_host]
        if len(args) > len(names):
            raise TypeError(f"{name} takes {', '.join(names) or 'nothing'}; {len(args)} arguments were given")
        given = {**dict(zip(names, args)), **kwargs}
        if self._contract.takes_whole(method):
            if names[0] in given:
                request.CopyFrom(to_message(method.input_type, given.pop(names[0])))
        else:
            given = {**by_host, **given}
            for field in method.input_type.fields:
                if (attribute := attribute_of(field.name)) in given:
                    fill(request, field, given.pop(attribute))
        left = [each for each in given if each not in by_host]
        if left:
            raise TypeError(f"{name} takes {', '.join(names) or 'nothing'}; not {', '.join(left)}")
        return request

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        contract, method = self._contract, self._contract.hooks[name]
        request = self._request(name, args, kwargs)
        calls = self.plugin._calls(name, lambda: arguments(contract, method, request))

        async def attempt(call: HandlerCall, sharing: int) -> Outcome:
            try:
                result = await self._hooks.run(call.function, call.args)
                response = response_of(contract, name, request, result)
                return Outcome(response, failed=bool(contract.failed(response)))
            except HookResultError as error:
                return Outcome(error=HookResultError(f"{name} ({call.name}) {error}"), failed=True)
            except Exception as error:
                if len(calls) > 1:
                    # Only the first one's is raised.
                    _log.exception("%s (%s) failed", name, call.name)
                return Outcome(error=error, failed=True)

        outcome = self._wait(call_in_turn(name, calls, attempt), name)
        if outcome.error is not None:
            raise outcome.error
        response = outcome.response
        if response is None:
            response = response_of(contract, name, request, None)
        fields = method.output_type.fields

        def value(field: Any) -> Any:
            unset = field.message_type is not None and not is_repeated(field) and not response.HasField(field.name)
            return None if unset else reader(field)(getattr(response, field.name))

        return SimpleNamespace(**{"error": None, **{attribute_of(field.name): value(field) for field in fields}})

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
        made = message_class(self._contract.hooks["ServeHTTP"].input_type)
        messages = [made(init=init), *(made(body_chunk=piece) for piece in pieces), made(body_complete=True)]
        answer: HTTPAnswer = self._wait(self._serve_http(messages), f"{method} {url}")
        self._after_a_call()
        return answer

    async def _serve_http(self, messages: list[Any]) -> HTTPAnswer:
        async def incoming() -> AsyncIterator[Any]:
            for message in messages:
                yield message

        call = _Call()
        await self._hooks.serve_http(incoming(), call)
        # What a web application does when it has answered has been done, too.
        await self._hooks.requests.finish(TEST_TIMEOUT)
        if call.failed:
            raise RuntimeError(call.failed)
        init = call.written[0].init
        headers = {header.key: list(header.values) for header in init.headers}
        return HTTPAnswer(init.status_code or 200, headers, b"".join(message.body_chunk for message in call.written))

    def close(self) -> None:
        """Deactivates the plugin, if it is active, and ends what it was run by."""
        with self._resources:
            if self._active:
                self._active = False
                self._failure_of("OnDeactivate")
        if self.api.unanswered:
            names = ", ".join(sorted(self.api.unanswered))
            self.api.unanswered.clear()
            raise AssertionError(f"the plugin has called {names}, and the test says no answer: host.api.answer(...)")

    def __enter__(self: Host) -> Host:
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
    server.add_generic_rpc_handlers(api.services())
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stack.callback(lambda: server.stop(None).wait())
    return f"127.0.0.1:{port}"


def host_of(plugin_class: type[PluginClass]) -> type[PluginHost[PluginClass]]:
    """The PluginHost for the plugins of a contract. Raises TypeError for what is no plugin's class."""
    module = importlib.import_module(f"{contract_of(plugin_class).package}.testing")
    found: type[PluginHost[PluginClass]] = module.PluginHost
    return found


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
        #: What has failed; empty where nothing has.
        self.failed = ""

    def invocation_metadata(self) -> tuple[()]:
        """Nobody traces a test."""
        return ()

    async def send_initial_metadata(self, metadata: Any) -> None:
        """A test is not told that a response begins."""

    async def write(self, message: Any) -> None:
        """Keeps a message of the response."""
        self.written.append(message)

    def set_code(self, code: grpc.StatusCode) -> None:
        """Any that is set here is a failure."""

    def set_details(self, details: str) -> None:
        """What has failed."""
        self.failed = details
