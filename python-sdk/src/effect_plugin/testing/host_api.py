"""A host API that is made up: it keeps what it is asked, and answers what a test says."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Callable, NamedTuple

import grpc

from .._descriptors import message_class
from .._exceptions import PluginAPIError
from .._generator.names import attribute_of, method_of
from .._grpc import service_handler
from .._values import fill, to_message, value_reader
from ..contract import Contract
from .host_services import HostServices
from .key_values import FakeKeyValueStore


class APICall(NamedTuple):
    """A call of the host API: the method's name, and what it was given, by the names of the contract's fields."""

    method: str
    given: SimpleNamespace


class FakeHostAPI:
    """A host API for tests. It keeps the calls it gets, and answers what it was told to answer.

    Methods that answer nothing succeed, and what every host has works: keys and values, settings, log and identity. Any
    other method has to be told.
    """

    #: The key-value store.
    kv: Any

    def __init__(
        self, contract: Contract, plugin_id: str, config: Mapping[str, Any], settings: Mapping[str, Any] | None = None
    ) -> None:
        """`settings` are the keys of the manifest's settings, with their defaults."""
        #: Every call so far, in order.
        self.calls: list[APICall] = []
        self.kv = FakeKeyValueStore()
        #: The plugin's settings, without the manifest's defaults.
        self.config: dict[str, Any] = {}
        #: Methods that were called while the test said nothing of their answers: a PluginHost fails at its end then.
        self.unanswered: set[str] = set()
        #: What the plugin has written to the host's log: level (`LogLevel`), message and fields.
        self.logged: list[SimpleNamespace] = []
        self.contract = contract
        self.plugin_id = plugin_id
        self.plugin_path = ""
        self._settings = dict(settings or {})
        self._rpcs = {method_of(method.name): method for method in contract.api_service.methods}
        self._answers: dict[str, Any] = {}
        self.configure(config)

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Changes settings."""
        self.config = {**self.config, **changes}

    def loaded(self) -> dict[str, Any]:
        """The settings as the plugin sees them, with the manifest's defaults."""
        defaults = {key: value for key, value in self._settings.items() if value is not None}
        return {**defaults, **self.config}

    def answer(self, method: str, answer: Any) -> None:
        """Says what a method answers: a value, a PluginAPIError to raise, or a function that is given the arguments."""
        if isinstance(answer, BaseException) and not isinstance(answer, PluginAPIError):
            raise TypeError(f"the host API raises PluginAPIError and its kinds, no {type(answer).__name__}")
        if isinstance(answer, type):
            raise TypeError(
                f"{method} would answer the class {answer.__name__}; make one of it: {answer.__name__}(...)"
            )
        self._answers[self._known(method)] = answer
        self.unanswered.discard(method)

    def calls_of(self, method: str) -> list[SimpleNamespace]:
        """What the calls of one method were given, in order."""
        self._known(method)
        return [call.given for call in self.calls if call.method == method]

    def respond(self, method: str, request: Any) -> Any:
        """The response to a request, as protobuf has both. Raises PluginAPIError for one that is a status."""
        given = {attribute_of(field.name): value_reader(field)(request) for field in _fields(request)}
        self.calls.append(APICall(method, SimpleNamespace(**given)))
        described = self._rpcs[method]
        response = message_class(described.output_type)()
        fields = [field for field in _fields(response) if field.name != self.contract.error_field]
        try:
            answer = self._answer(method, given, fields)
            if isinstance(answer, PluginAPIError):
                raise answer
        except PluginAPIError as error:
            return self._failed(response, error)
        if self.contract.answers_whole(described):
            response.CopyFrom(to_message(described.output_type, answer))
            return response
        for field, value in zip(fields, answer if isinstance(answer, tuple) and len(fields) > 1 else (answer,)):
            fill(response, field, value)
        return response

    def services(self) -> list[grpc.GenericRpcHandler]:
        """The host API as a gRPC server takes it, with what every host has beside it."""

        def method(name: str) -> Callable[[Any, Any], Any]:
            def respond(request: Any, context: Any) -> Any:
                try:
                    return self.respond(name, request)
                except PluginAPIError as error:
                    context.abort(error.code or grpc.StatusCode.UNKNOWN, error.message)

            return respond

        own = service_handler(self.contract.api_service, {rpc.name: method(name) for name, rpc in self._rpcs.items()})
        return [own, *(HostServices(self).handlers() if self.contract.host_services() else [])]

    def _failed(self, response: Any, error: PluginAPIError) -> Any:
        """The response that says an error, if the contract has one for it."""
        raise error

    def _answer(self, method: str, given: dict[str, Any], fields: list[Any]) -> Any:
        if method in self._answers:
            answer = self._answers[method]
            return answer(SimpleNamespace(**given)) if callable(answer) else answer
        return self._unasked(method, given, fields)

    def _unasked(self, method: str, given: dict[str, Any], fields: list[Any]) -> Any:
        """What a method answers that the test says nothing of."""
        if not fields:
            return () if self.contract.answers_whole(self._rpcs[method]) else None
        return self._lacks(method)

    def _lacks(self, method: str, status: int = 0) -> Any:
        self.unanswered.add(method)
        rule = f"the test does not say what {method} answers; say it with api.answer({method!r}, ...)"
        raise PluginAPIError(rule, status_code=status)

    def _known(self, method: str) -> str:
        if method not in self._rpcs:
            raise ValueError(f"the host API has no method {method!r}")
        return method


def _fields(message: Any) -> list[Any]:
    return list(message.DESCRIPTOR.fields)
