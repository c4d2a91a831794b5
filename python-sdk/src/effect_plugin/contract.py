"""A contract: what a backend's `.proto` files say that its plugins are asked, and may ask. Its package is generated.

What generated packages are made of is here as well; plugins have no use for it.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, cast

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor

from . import _process as process
from . import _watchdog as watchdog
from . import logs
from ._client import BaseAPIClient, BaseAsyncAPIClient
from ._config import RuntimeConfig, Variables
from ._descriptors import ENGINE, Descriptors
from ._fields import is_repeated
from ._handshake import HandshakeConfig
from ._hooks import mark
from ._models import Model, contract_enum, model
from ._values import json_bytes, model_of, one_or_all, value_reader

if TYPE_CHECKING:
    from ._store import KeyValueCalls

__all__ = [
    "BaseAPIClient",
    "BaseAsyncAPIClient",
    "Contract",
    "Descriptors",
    "Model",
    "Variables",
    "contract_enum",
    "json_bytes",
    "model",
]

#: What every host has beside the API of its contract.
HOST_SERVICES = ("HostKeyValues", "HostSettings", "HostLog", "HostIdentity")

_EMPTY = "google.protobuf.Empty"


class Contract:
    """A contract: its two services, and how its plugins and hosts find each other.

    Contracts whose own rpcs are the plugin's life cycle, HTTP, key-value store and settings are a subclass.
    """

    #: The field of a response that says how a call has failed. Without one, failures are gRPC statuses.
    error_field = ""

    #: By which names a WSGI application finds the plugin in its environ.
    wsgi_names: tuple[str, ...] = ("effect_plugin.plugin",)

    #: The class of what a plugin is told of its surroundings.
    config_class: type[RuntimeConfig] = RuntimeConfig

    def __init__(
        self,
        *,
        package: str,
        descriptors: Descriptors,
        hooks: str,
        api: str,
        cookie: tuple[str, str],
        refusals: Iterable[str] = ("refusal",),
        variables: Variables | None = None,
        protocol_version: int = 1,
        key_values: KeyValueCalls | None = None,
    ) -> None:
        """`hooks` and `api` are the services' full names, `package` is the Python package's; `refusals` name the fields
        by which a hook's response refuses. Raises KeyError for a service that the descriptors do not have.
        """
        self.package = package
        watchdog.leave_out(package)
        self.descriptors = descriptors
        self.hooks_service: ServiceDescriptor = descriptors.service(hooks)
        self.api_service: ServiceDescriptor = descriptors.service(api)
        self.handshake = HandshakeConfig(*cookie)
        self.refusals = frozenset(refusals)
        self.variables = variables or Variables()
        self.protocol_version = protocol_version
        self._key_values = key_values
        #: The hooks' rpcs by name.
        self.hooks: dict[str, MethodDescriptor] = {
            method.name: method
            for service in self.services()
            for method in service.methods
            if method.name != "Implemented"
        }
        self._read_answers: dict[str, Callable[[Any], Any]] = {}

    def services(self) -> list[ServiceDescriptor]:
        """The services that a plugin serves."""
        life = [ENGINE.service(f"plugin_supervisor.v1.{name}") for name in ("PluginLifecycle", "PluginHttp")]
        return [*life, self.hooks_service]

    def host_services(self) -> list[ServiceDescriptor]:
        """The services that a host serves beside the API."""
        return [ENGINE.service(f"plugin_supervisor.v1.{name}") for name in HOST_SERVICES]

    @functools.cached_property
    def api_methods(self) -> dict[str, MethodDescriptor]:
        """The host's rpcs by name; those of its own services by `Service.Rpc`."""
        methods = {method.name: method for method in self.api_service.methods}
        for service in self.host_services():
            methods.update({f"{service.name}.{method.name}": method for method in service.methods})
        return methods

    @functools.cached_property
    def key_values(self) -> KeyValueCalls:
        """The calls that the key-value store is made of."""
        from ._store import HostKeyValues

        return self._key_values or HostKeyValues()

    @functools.cached_property
    def implemented(self) -> MethodDescriptor:
        """The rpc by which a plugin says what it implements."""
        found = [service.methods_by_name.get("Implemented") for service in self.services()]
        return next(method for method in found if method is not None)

    def client(self, target: str) -> Any:
        """The client of the host API, for `def` handlers."""
        return importlib.import_module(self.package).PluginAPIClient(target)

    def async_client(self, target: str) -> Any:
        """The client of the host API, for `async def` handlers."""
        return importlib.import_module(self.package).AsyncPluginAPIClient(target)

    # -- the process -------------------------------------------------------------------------------------------------

    def runtime_config(self) -> RuntimeConfig:
        """What the host tells the plugin of its surroundings."""
        return self.variables.read()

    def log_to_host(self) -> None:
        """Sends what is logged to the host, in a process that one has started for this contract."""
        if process.started_by_host() and self.handshake.started_by_host():
            logs.configure(self.runtime_config().log_level, process.log_stream())

    def hook(self, name: Any = None) -> Any:
        """The decorator of handlers, which a generated package declares for each of its hooks."""
        return mark(self, name)

    # -- what a hook is given, and may answer ------------------------------------------------------------------------

    def request_fields(self, method: MethodDescriptor) -> list[FieldDescriptor]:
        """The fields that a handler is given, each as an argument."""
        return list(method.input_type.fields)

    def takes_whole(self, method: MethodDescriptor) -> bool:
        """Whether a handler is given the message itself: one that is no `…Request`, but a thing."""
        return not method.input_type.name.endswith("Request") and method.input_type.full_name != _EMPTY

    def answers_whole(self, method: MethodDescriptor) -> bool:
        """Whether what is answered is the message itself: one that is no `…Response`, but a thing."""
        return not method.output_type.name.endswith("Response") and method.output_type.full_name != _EMPTY

    def verdict_field(self, method: MethodDescriptor) -> FieldDescriptor | None:
        """The field of a response that refuses, or says what has failed."""
        fields = method.output_type.fields
        return next(
            (f for f in fields if f.name in self.refusals and f.type == f.TYPE_STRING and not is_repeated(f)), None
        )

    def payload_fields(self, method: MethodDescriptor) -> list[FieldDescriptor]:
        """The fields of a response that take what a handler answers."""
        return [field for field in method.output_type.fields if field is not self.verdict_field(method)]

    def refuse(self, hook: str, response: Any, reason: str) -> None:
        """Puts a refusal into a response; one without a reason is none."""
        field = self.verdict_field(self.hooks[hook])
        if field is not None:
            setattr(response, field.name, reason)

    def adapted(self, hook: str, result: Any) -> Any:
        """A handler's result, where a hook takes other forms than its response has."""
        return result

    def default_payload(self, hook: str, request: Any) -> Any:
        """What no opinion means, where it isn't an empty response."""
        return None

    def ignores_unknown_keys(self, hook: str) -> bool:
        """Whether a dict that is answered may have keys that there are no fields for."""
        return False

    def failure(self, hook: str, text: str) -> Any | None:
        """The response that says that a handler has failed, if there is one."""
        return None

    def failed(self, response: Any) -> str:
        """What a response says of a failure; empty where there is none."""
        return ""

    def no_handler(self, hook: str) -> Any | None:
        """The response of a plugin without a handler, where that is not one without an opinion."""
        return None

    # -- what the host answers ---------------------------------------------------------------------------------------

    def answer(self, rpc: str, response: Any) -> Any:
        """What a method of the host API answers: a field, a tuple of several, the message as a whole, or None."""
        read = self._read_answers.get(rpc)
        if read is None:
            read = self._read_answers[rpc] = self.answer_reader(self.api_methods[rpc])
        return read(response)

    def answer_reader(self, method: MethodDescriptor) -> Callable[[Any], Any]:
        """What makes of a response what the method of the host API answers. A message is there; None is what is
        declared optional, and not set."""
        if self.answers_whole(method):
            return model_of(method.output_type).from_proto
        return one_or_all([value_reader(field) for field in method.output_type.fields])

    # -- what every plugin has ---------------------------------------------------------------------------------------

    def settings(self, api: Any) -> Mapping[str, Any]:
        """The plugin's settings, by way of the client `api`."""
        return cast("Mapping[str, Any]", api._call("HostSettings.GetSettings", {}))

    @functools.cached_property
    def http_context(self) -> type[Model]:
        """The model of what a host knows of a client's request."""
        init: Any = self.hooks["ServeHTTP"].input_type.fields_by_name["init"].message_type
        return model_of(init.fields_by_name["plugin_context"].message_type)
