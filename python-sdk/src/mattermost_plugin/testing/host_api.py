"""A host API that is made up: it keeps what it is asked, and answers what a test says."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Callable, NamedTuple

import grpc

from ..contract import API, snake_case
from ..descriptors import message_class, service_handler
from ..exceptions import PluginAPIError, to_app_error
from ..models import fill, reader
from .key_values import FakeKeyValueStore

_RPCS = {snake_case(method.name): method for method in API.methods}


class APICall(NamedTuple):
    """A call of the host API: the method's name, and what it was given, by the names of the contract's fields."""

    method: str
    given: SimpleNamespace


class FakeHostAPI:
    """A host API for tests. It keeps the calls it gets, and answers what it was told to answer.

    What needs no telling: methods that answer nothing succeed, what is created or updated comes back (with an id), the
    key-value store and the plugin's configuration work. Any other method has to be told.
    """

    def __init__(self, plugin_id: str, config: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> None:
        """`settings` are the keys of the manifest's settings, with their defaults."""
        #: Every call so far, in order.
        self.calls: list[APICall] = []
        #: The key-value store.
        self.kv = FakeKeyValueStore()
        #: The settings as they are stored, which is what `get_plugin_config` answers. What `load_plugin_configuration`
        #: answers has the manifest's defaults as well, and its keys in lower case.
        self.config: dict[str, Any] = {}
        #: How often the plugin has saved its configuration, and was not told yet that it has changed.
        self.saves = 0
        #: Methods that were called while the test said nothing of their answers: a PluginHost fails at its end then.
        self.unanswered: set[str] = set()
        self._plugin_id = plugin_id
        self._settings = dict(settings or {})
        self._ids = itertools.count(1)
        self._answers: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.configure(config)

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Changes settings; upper and lower case count as the same."""
        changed = {key.lower() for key in changes}
        kept = {key: value for key, value in self.config.items() if key.lower() not in changed}
        self.config = self._one_spelling({**kept, **changes})

    def _one_spelling(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Settings with one spelling of each key: the manifest's, or else the first in the order of their letters."""
        chosen: dict[str, str] = {}
        for key in sorted(config):
            if key in self._settings or key.lower() not in chosen:
                chosen[key.lower()] = key
        return {key: config[key] for key in chosen.values()}

    def _loaded(self) -> dict[str, Any]:
        defaults = {key: value for key, value in self._settings.items() if value is not None}
        stored = self._one_spelling(self.config)
        return _as_json({key.lower(): value for key, value in {**defaults, **stored}.items()})

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
            self.config = self._one_spelling(given["config"])
            self.saves += 1
        if not fields:
            return None
        if method == "get_plugin_config":
            return self.config
        if method == "load_plugin_configuration":
            return self._loaded()
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


def _as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it comes back from a host, to which all numbers are JSON's."""
    response = message_class(_RPCS["get_plugin_config"].output_type)()
    field = response.DESCRIPTOR.fields_by_name["config"]
    fill(response, field, config)
    read: dict[str, Any] = reader(field)(response.config)
    return read
