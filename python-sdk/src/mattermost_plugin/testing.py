"""Tests of plugins without a host: the plugin runs in the test's own process, against a host API that is made up.

With pytest, take the fixture `plugin_host`; without it, `PluginHost` is a context manager.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent import futures
from types import SimpleNamespace
from typing import Any, Callable, Generic, NamedTuple, Protocol, TypeVar

import grpc
import grpc.aio

from .client import AsyncPluginAPIClient, PluginAPIClient
from .config import RuntimeConfig
from .contract import API, HOOKS, contract_message, is_repeated, snake_case
from .descriptors import message_class, service_handler
from .dispatch import arguments, handler_arguments, response_of
from .exceptions import PluginAPIError, to_app_error
from .hooks import HookName
from .models import fill, reader
from .plugin import Plugin
from .server import PluginServer
from .types import PluginContext

PluginClass = TypeVar("PluginClass", bound=Plugin)

#: Seconds that anything a test asks of its plugin may take.
TEST_TIMEOUT = 30.0

_RPCS = {snake_case(method.name): method for method in API.methods}


class HTTPAnswer(NamedTuple):
    """What a plugin answered to an HTTP request."""

    status: int
    headers: dict[str, list[str]]
    body: bytes

    @property
    def text(self) -> str:
        """The body, which is UTF-8."""
        return self.body.decode()


class APICall(NamedTuple):
    """A call of the host API: the method's name, and what it was given, by the names of the contract's fields."""

    method: str
    given: SimpleNamespace


class FakeHostAPI:
    """A host API for tests. It keeps the calls it gets, and answers what it was told to answer.

    What needs no telling: methods that answer nothing succeed, what is created or updated comes back (with an id), the
    key-value store and the plugin's configuration work. Any other method has to be told.
    """

    def __init__(self, plugin_id: str, config: Mapping[str, Any]) -> None:
        #: Every call so far, in order.
        self.calls: list[APICall] = []
        #: The key-value store.
        self.kv = FakeKeyValueStore()
        #: The plugin's configuration.
        self.config: dict[str, Any] = dict(config)
        self._plugin_id = plugin_id
        self._ids = itertools.count(1)
        self._answers: dict[str, Any] = {}

    def answer(self, method: str, answer: Any) -> None:
        """Says what a method answers: a value, an exception to raise, or a function that is given the arguments."""
        self._answers[_known(method)] = answer

    def calls_of(self, method: str) -> list[SimpleNamespace]:
        """What the calls of one method were given, in order."""
        return [call.given for call in self.calls if call.method == _known(method)]

    def respond(self, method: str, request: Any) -> Any:
        """The response to a request, as protobuf has both."""
        given = {field.name: reader(field)(getattr(request, field.name)) for field in request.DESCRIPTOR.fields}
        self.calls.append(APICall(method, SimpleNamespace(**given)))
        response = message_class(_RPCS[method].output_type)()
        fields = [field for field in response.DESCRIPTOR.fields if field.name != "error"]
        answer = self._answer(method, given, fields)
        if isinstance(answer, PluginAPIError):
            response.error.CopyFrom(to_app_error(answer).to_proto())
            return response
        for field, value in zip(fields, answer if isinstance(answer, tuple) and len(fields) > 1 else (answer,)):
            fill(response, field, value)
        return response

    def service(self) -> grpc.GenericRpcHandler:
        """The host API as a gRPC server takes it."""

        def method(name: str) -> Callable[[Any, Any], Any]:
            return lambda request, context: self.respond(name, request)

        return service_handler(API.full_name, {rpc.name: method(name) for name, rpc in _RPCS.items()})

    def _answer(self, method: str, given: dict[str, Any], fields: list[Any]) -> Any:
        if method in self._answers:
            answer = self._answers[method]
            return answer(SimpleNamespace(**given)) if callable(answer) else answer
        if method.startswith("kv_"):
            return getattr(self.kv, method)(**given)
        if method == "save_plugin_config":
            self.config = given["config"]
        if not fields:
            return None
        if method in ("get_plugin_config", "load_plugin_configuration"):
            return self.config
        if method == "get_plugin_id":
            return self._plugin_id
        # create_post and its like: what comes in goes out.
        echoed = given.get(fields[0].name)
        if echoed is not None and method.startswith(("create_", "update_", "send_")):
            if getattr(echoed, "id", None) == "":
                echoed.id = f"id{next(self._ids)}"
            return echoed
        return PluginAPIError(
            f"the test does not say what {method} answers; say it with api.answer({method!r}, ...)", status_code=501
        )


def _known(method: str) -> str:
    if method not in _RPCS:
        raise ValueError(f"the host API has no method {method!r}")
    return method


class FakeKeyValueStore(dict[str, bytes]):
    """A key-value store: a dict that knows the host API's methods. Values that have expired are gone."""

    def __init__(self) -> None:
        self._expiry: dict[str, float] = {}

    def _current(self, key: str) -> bytes:
        if self._expiry.get(key, float("inf")) <= time.monotonic():
            self.pop(key, None)
        return self.get(key, b"")

    def _put(self, key: str, value: bytes, seconds: int = 0) -> None:
        self._expiry.pop(key, None)
        if value:
            self[key] = value
            if seconds > 0:
                self._expiry[key] = time.monotonic() + seconds
        else:
            self.pop(key, None)

    def _compare_and_put(self, key: str, old: bytes, new: bytes, seconds: int = 0) -> bool:
        same = self._current(key) == old
        if same:
            self._put(key, new, seconds)
        return same

    def kv_get(self, key: str) -> bytes:
        return self._current(key)

    def kv_set(self, key: str, value: bytes) -> None:
        self._put(key, value)

    def kv_set_with_expiry(self, key: str, value: bytes, expire_in_seconds: int) -> None:
        self._put(key, value, expire_in_seconds)

    def kv_delete(self, key: str) -> None:
        self._put(key, b"")

    def kv_delete_all(self) -> None:
        self.clear()

    def kv_list(self, page: int, per_page: int) -> list[str]:
        keys = sorted(key for key in list(self) if self._current(key))
        return keys[page * per_page :][:per_page]

    def kv_compare_and_set(self, key: str, old_value: bytes, new_value: bytes) -> bool:
        return self._compare_and_put(key, old_value, new_value)

    def kv_compare_and_delete(self, key: str, old_value: bytes) -> bool:
        return bool(old_value) and self._compare_and_put(key, old_value, b"")

    def kv_set_with_options(self, key: str, value: bytes, options: Any) -> bool:
        atomic = options is not None and options.atomic
        seconds = 0 if options is None else options.expire_in_seconds
        return self._compare_and_put(key, options.old_value if atomic else self._current(key), value, seconds)


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
        self.api = FakeHostAPI(plugin_id, config or {})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="plugin host", daemon=True)
        self._thread.start()
        self._threads = futures.ThreadPoolExecutor(8)
        self._grpc = grpc.server(self._threads)
        self._grpc.add_generic_rpc_handlers((self.api.service(),))
        target = f"127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._grpc.start()
        self._client = PluginAPIClient(target)
        self._client.connect_ahead()
        self._async_client = AsyncPluginAPIClient(target)
        self._wait(self._async_client.connect())
        runtime = RuntimeConfig(plugin_id=plugin_id, api_target=target, plugin_path=plugin_path)
        #: The plugin itself.
        self.plugin: PluginClass = plugin_class(api=self._client, config=runtime)
        self.plugin._async_api = self._async_client
        self._hooks = PluginServer(self.plugin, runtime)
        self._lifespan = self.plugin._lifespan()
        self._wait(self._lifespan.__aenter__())
        self._active = False

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TEST_TIMEOUT)

    def activate(self) -> None:
        """Calls OnConfigurationChange and OnActivate, as a host does when it starts a plugin."""
        for hook in (HookName.OnConfigurationChange, HookName.OnActivate):
            error = self.call(hook).error
            if error is not None and hook == HookName.OnActivate:
                raise RuntimeError(f"the plugin can't be activated: {error.message}")
        self._active = True

    def configure(self, **config: Any) -> None:
        """Changes settings of the plugin's configuration, and tells the plugin."""
        self.api.config.update(config)
        self.call(HookName.OnConfigurationChange)

    def call(self, hook: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a hook; answers the fields of its response, such as `.rejection_reason`, `.modified_post` or `.error`.

        Arguments are those of the handler after `ctx`, in its order or by the contract's names; what is left out is
        empty. What the handler raises is raised here. A plugin that does not have the hook answers as one without an
        opinion does.
        """
        name = HookName(hook).value
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
        handler = self.plugin.get_hook_handler(name)
        result = None if handler is None else self._wait(self._hooks.run(handler, arguments(method, request)))
        response = response_of(name, request, result)
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
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] = b"",
    ) -> HTTPAnswer:
        """Sends an HTTP request to ServeHTTP; answers the whole response. A body in pieces arrives in pieces."""
        pieces = [body] if isinstance(body, bytes) else list(body)
        init = {
            "method": method,
            "url": url,
            "request_uri": url,
            "host": "localhost",
            "proto": "HTTP/1.1",
            "proto_major": 1,
            "proto_minor": 1,
            "remote_addr": "127.0.0.1:1",
            "content_length": len(body) if isinstance(body, bytes) else -1,
            "headers": [{"key": key, "values": [value]} for key, value in (headers or {}).items()],
        }
        made = contract_message("ServeHTTPRequest")
        messages = [made(init=init), *(made(body_chunk=piece) for piece in pieces), made(body_complete=True)]
        return self._wait(self._serve_http(messages))  # type: ignore[no-any-return]

    async def _serve_http(self, messages: list[Any]) -> HTTPAnswer:
        async def incoming() -> AsyncIterator[Any]:
            for message in messages:
                yield message

        call = _Call()
        await self._hooks.serve_http(incoming(), call)
        init = call.written[0].init
        headers = {header.key: list(header.values) for header in init.headers}
        return HTTPAnswer(init.status_code or 200, headers, b"".join(message.body_chunk for message in call.written))

    def close(self) -> None:
        """Deactivates the plugin, if it is active, and ends what it was run by."""
        try:
            if self._active:
                self.call(HookName.OnDeactivate)
        finally:
            self._wait(self._lifespan.__aexit__(None, None, None))
            self._hooks.close()
            self._client.close()
            self._wait(self._async_client.close())
            self._grpc.stop(None).wait()
            self._threads.shutdown()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(TEST_TIMEOUT)
            self._loop.close()

    def __enter__(self) -> PluginHost[PluginClass]:
        self.activate()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StartPlugin(Protocol):
    """The fixture `plugin_host`: makes a PluginHost and activates its plugin, until the test ends."""

    def __call__(
        self,
        plugin_class: type[PluginClass],
        *,
        config: Mapping[str, Any] | None = None,
        plugin_id: str = ...,
        plugin_path: str = ...,
    ) -> PluginHost[PluginClass]: ...


class _Call:
    """A call of ServeHTTP as gRPC would hand it to the server."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    def invocation_metadata(self) -> tuple[()]:
        return ()

    async def write(self, message: Any) -> None:
        self.written.append(message)

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise RuntimeError(details)
