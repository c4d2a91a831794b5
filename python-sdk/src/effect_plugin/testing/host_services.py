"""What every host has beside the API of its contract, made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable

import grpc

from .._descriptors import ENGINE, message_class
from .._exceptions import PluginAPIError
from .._grpc import service_handler
from .._values import fill, reader
from ..contract import HOST_SERVICES

if TYPE_CHECKING:
    from .host_api import FakeHostAPI


class HostServices:
    """The services of `plugin_supervisor.v1` that a host serves."""

    def __init__(self, api: FakeHostAPI) -> None:
        self._api = api

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The services as a gRPC server takes them."""
        services = [ENGINE.service(f"plugin_supervisor.v1.{name}") for name in HOST_SERVICES]
        return [
            service_handler(service, {method.name: self._handler(method) for method in service.methods})
            for service in services
        ]

    def _handler(self, method: Any) -> Callable[[Any, Any], Any]:
        answer = getattr(self, f"_{method.name}")
        response = message_class(method.output_type)

        def respond(request: Any, context: Any) -> Any:
            made = response()
            try:
                answered = answer(request)
            except PluginAPIError as error:
                return context.abort(error.code or grpc.StatusCode.UNKNOWN, error.message)
            for name, value in answered.items():
                fill(made, made.DESCRIPTOR.fields_by_name[name], value)
            return made

        return respond

    def _GetValue(self, request: Any) -> dict[str, Any]:
        return {"value": self._api.kv.current(request.key)}

    def _SetValue(self, request: Any) -> dict[str, Any]:
        millis = request.expires_in_millis if request.HasField("expires_in_millis") else None
        expected = request.if_equal if request.HasField("if_equal") else None
        kv = self._api.kv
        return {"is_set": kv.change(request.key, request.value, millis, if_absent=request.if_absent, if_equal=expected)}

    def _DeleteValue(self, request: Any) -> dict[str, Any]:
        expected = request.if_equal if request.HasField("if_equal") else None
        return {"is_deleted": self._api.kv.remove(request.key, expected)}

    def _DeleteAllValues(self, request: Any) -> dict[str, Any]:
        self._api.kv.clear()
        return {}

    def _ListKeys(self, request: Any) -> dict[str, Any]:
        return {"keys": self._api.kv.page(request.after, request.limit, request.prefix)}

    def _GetSettings(self, request: Any) -> dict[str, Any]:
        return {"settings": self._api.loaded()}

    def _Log(self, request: Any) -> dict[str, Any]:
        level = reader(request.DESCRIPTOR.fields_by_name["level"])(request.level)
        self._api.logged.append(SimpleNamespace(level=level, message=request.message, fields=dict(request.fields)))
        return {}

    def _DescribeHost(self, request: Any) -> dict[str, Any]:
        contract = self._api.contract
        return {
            "plugin_id": self._api.plugin_id,
            "bundle_path": self._api.plugin_path,
            "hooks_service": contract.hooks_service.full_name,
            "api_service": contract.api_service.full_name,
        }
