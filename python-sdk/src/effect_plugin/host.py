"""What every host offers beside the API of its contract: its services of the package `plugin_supervisor.v1`."""

from __future__ import annotations

from typing import Any

from ._descriptors import ENGINE
from ._generated.host import AsyncPluginAPIMethods, DescribeHostResult, PluginAPIMethods
from ._generated.models import LogLevel

__all__ = ["AsyncHost", "DescribeHostResult", "Host", "LogLevel"]

#: The service of each rpc.
_SERVICES = {
    method.name: name
    for name in ("HostKeyValues", "HostSettings", "HostLog", "HostIdentity")
    for method in ENGINE.service(f"plugin_supervisor.v1.{name}").methods
}


class Host(PluginAPIMethods):
    """The host's own services, by way of the client of its API. Errors are those of any call of it."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def _call(self, rpc: str, values: dict[str, Any], /) -> Any:
        return self._api._call(f"{_SERVICES[rpc]}.{rpc}", values)


class AsyncHost(AsyncPluginAPIMethods):
    """The same for `async def` code. See `Host`."""

    def __init__(self, api: Any) -> None:
        self._api = api

    async def _call(self, rpc: str, values: dict[str, Any], /) -> Any:
        return await self._api._call(f"{_SERVICES[rpc]}.{rpc}", values)
