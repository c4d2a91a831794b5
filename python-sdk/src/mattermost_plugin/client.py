"""The host API, as plugins call it. Its methods are the contract's rpcs, generated with their arguments and types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from effect_plugin._client import CALL_TIMEOUT, TOKEN_METADATA, BaseAPIClient, BaseAsyncAPIClient
from effect_plugin._late import base_class

from ._contract import CONTRACT

if TYPE_CHECKING:
    from ._generated.api import AsyncPluginAPIMethods, PluginAPIMethods
else:
    PluginAPIMethods = base_class(f"{__package__}._generated.api", "PluginAPIMethods")
    AsyncPluginAPIMethods = base_class(f"{__package__}._generated.api", "AsyncPluginAPIMethods")

__all__ = ["CALL_TIMEOUT", "TOKEN_METADATA", "AsyncPluginAPIClient", "PluginAPIClient", "log_entry"]


def log_entry(message: str, fields: dict[str, object]) -> dict[str, Any]:
    """An entry of the host's log; its fields are texts, as in the published SDK."""
    pairs = [{"key": key, "value": str(value)} for key, value in fields.items()]
    return {"msg": str(message), "key_value_pairs": pairs}


class PluginAPIClient(BaseAPIClient, PluginAPIMethods):
    """The host API. Every rpc is a method: `api.get_user(user_id)`, `api.kv_set("key", b"value")`.

    Safe to use from any thread; `async def` handlers take AsyncPluginAPIClient. Errors are `PluginAPIError`s; a call
    ends after `CALL_TIMEOUT` seconds at the latest.
    """

    _contract = CONTRACT

    def _log(self, rpc: str, message: str, fields: dict[str, object]) -> None:
        self._call(rpc, log_entry(message, fields))


class AsyncPluginAPIClient(BaseAsyncAPIClient, AsyncPluginAPIMethods):
    """The host API for `async def` code: every rpc is a coroutine method.

    Calls may be made on another event loop than the one it was connected on, as long as that one runs: from
    `asyncio.run` in a sync handler, or from an async test.
    """

    _contract = CONTRACT

    async def _log(self, rpc: str, message: str, fields: dict[str, object]) -> None:
        await self._call(rpc, log_entry(message, fields))
