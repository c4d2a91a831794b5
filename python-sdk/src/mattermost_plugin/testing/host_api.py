"""A host API that is made up: it keeps what it is asked, and answers what a test says."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Callable, NamedTuple

import grpc

from ..contract import API, snake_case
from ..descriptors import message_class, service_handler
from ..exceptions import PluginAPIError, to_app_error
from ..models import fill, reader

_RPCS = {snake_case(method.name): method for method in API.methods}


class APICall(NamedTuple):
    """A call of the host API: the method's name, and what it was given, by the names of the contract's fields."""

    method: str
    given: SimpleNamespace


def lowered(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as hosts hand it out: its settings' keys are in lower case, whatever the manifest writes."""
    return {key.lower(): value for key, value in config.items()}


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
        #: The plugin's configuration. Its keys are in lower case, as hosts keep them.
        self.config: dict[str, Any] = lowered(config)
        #: Methods that were called while the test said nothing of their answers: a PluginHost fails at its end then.
        self.unanswered: set[str] = set()
        self._plugin_id = plugin_id
        self._ids = itertools.count(1)
        self._answers: dict[str, Any] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, answer: Any) -> None:
        """Says what a method answers: a value, a PluginAPIError to raise, or a function that is given the arguments."""
        if isinstance(answer, BaseException) and not isinstance(answer, PluginAPIError):
            raise TypeError(f"the host API raises PluginAPIError and its kinds, no {type(answer).__name__}")
        if isinstance(answer, type):
            raise TypeError(
                f"{method} would answer the class {answer.__name__}; make one of it: {answer.__name__}(...)"
            )
        self._answers[_known(method)] = answer
        self.unanswered.discard(method)

    def calls_of(self, method: str) -> list[SimpleNamespace]:
        """What the calls of one method were given, in order."""
        _known(method)
        return [call.given for call in self.calls if call.method == method]

    def respond(self, method: str, request: Any) -> Any:
        """The response to a request, as protobuf has both."""
        given = {field.name: reader(field)(getattr(request, field.name)) for field in request.DESCRIPTOR.fields}
        self.calls.append(APICall(method, SimpleNamespace(**given)))
        response = message_class(_RPCS[method].output_type)()
        fields = [field for field in response.DESCRIPTOR.fields if field.name != "error"]
        try:
            answer = self._answer(method, given, fields)
            if isinstance(answer, PluginAPIError):
                raise answer
        except PluginAPIError as error:
            response.error.CopyFrom(to_app_error(error).to_proto())
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
            # The plugin's handlers may call from several threads; nothing comes between a comparison and its change.
            with self._lock:
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
        self.unanswered.add(method)
        raise PluginAPIError(
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
        """The value; empty when there is none."""
        return self._current(key)

    def kv_set(self, key: str, value: bytes) -> None:
        """Sets a value; an empty one deletes."""
        self._put(key, value)

    def kv_set_with_expiry(self, key: str, value: bytes, expire_in_seconds: int) -> None:
        """Sets a value for some seconds."""
        self._put(key, value, expire_in_seconds)

    def kv_delete(self, key: str) -> None:
        """Forgets a value."""
        self._put(key, b"")

    def kv_delete_all(self) -> None:
        """Forgets all values."""
        self.clear()

    def kv_list(self, page: int, per_page: int) -> list[str]:
        """The keys, sorted, a page of them."""
        keys = sorted(key for key in list(self) if self._current(key))
        return keys[page * per_page :][:per_page]

    def kv_compare_and_set(self, key: str, old_value: bytes, new_value: bytes) -> bool:
        """Sets a value if the current one is the old one."""
        return self._compare_and_put(key, old_value, new_value)

    def kv_compare_and_delete(self, key: str, old_value: bytes) -> bool:
        """Forgets a value if it is the old one."""
        return bool(old_value) and self._compare_and_put(key, old_value, b"")

    def kv_set_with_options(self, key: str, value: bytes, options: Any) -> bool:
        """Sets a value by the rules of PluginKVSetOptions."""
        atomic = options is not None and options.atomic
        seconds = 0 if options is None else options.expire_in_seconds
        return self._compare_and_put(key, options.old_value if atomic else self._current(key), value, seconds)
