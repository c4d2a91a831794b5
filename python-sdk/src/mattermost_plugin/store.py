"""The host's key-value store with JSON values."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import timedelta
from math import ceil
from typing import Any, Callable

from .client import AsyncPluginAPIClient, PluginAPIClient
from .exceptions import UnavailableError
from .models import json_bytes
from .types import PluginKVSetOptions

#: How often a value that others keep changing is tried to be changed.
_ATTEMPTS = 50

#: Keys in a page of the host's.
_PAGE = 200

#: A call of the host API: its method, and its arguments.
_Call = tuple[str, tuple[Any, ...], dict[str, Any]]

_Steps = Generator[_Call, Any, Any]


def _call(method: str, *args: Any, **kwargs: Any) -> _Call:
    return method, args, kwargs


def _seconds(expires: timedelta) -> int:
    seconds = ceil(expires.total_seconds())
    if seconds < 1:
        raise ValueError(f"a value expires after some time, not after {expires}")
    return seconds


def _get(key: str, default: Any) -> _Steps:
    value = yield _call("kv_get", key)
    return json.loads(value) if value else default


def _set(key: str, value: Any, expires: timedelta | None) -> _Steps:
    # The plainest method that will do: hosts need not have all of them.
    if expires is None:
        yield _call("kv_set", key, json_bytes(value))
    else:
        yield _call("kv_set_with_expiry", key, json_bytes(value), _seconds(expires))


def _update(key: str, change: Callable[[Any], Any], default: Any, expires: timedelta | None) -> _Steps:
    for _ in range(_ATTEMPTS):
        old = (yield _call("kv_get", key)) or b""
        value = change(json.loads(old) if old else default)
        if expires is None:
            done = yield _call("kv_compare_and_set", key, old, json_bytes(value))
        else:
            options = PluginKVSetOptions(atomic=True, old_value=old, expire_in_seconds=_seconds(expires))
            done = yield _call("kv_set_with_options", key, json_bytes(value), options)
        if done:
            return value
    raise UnavailableError(f"the value of {key!r} has been changed by others {_ATTEMPTS} times in between")


def _keys(prefix: str) -> _Steps:
    # All of them first: a page begins elsewhere once keys before it are gone.
    keys: list[str] = []
    while True:
        page = yield _call("kv_list", page=len(keys) // _PAGE, per_page=_PAGE)
        keys += page
        if len(page) < _PAGE:
            return [key for key in keys if key.startswith(prefix)]


class KeyValueStore:
    """The plugin's key-value store, with values that JSON can say. In sync handlers: `self.kv`.

    Errors are those of the host API. A value that is not JSON, because something else has written it, is a ValueError.
    """

    def __init__(self, api: PluginAPIClient) -> None:
        self._api = api

    def _run(self, steps: _Steps) -> Any:
        answer: Any = None
        try:
            while True:
                method, args, kwargs = steps.send(answer)
                answer = getattr(self._api, method)(*args, **kwargs)
        except StopIteration as end:
            return end.value

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key; the default where there is none."""
        return self._run(_get(key, default))

    def set(self, key: str, value: Any, *, expires: timedelta | None = None) -> None:
        """Sets a value, for good or for some time. Raises TypeError or ValueError for what JSON can't say."""
        self._run(_set(key, value, expires))

    def delete(self, key: str) -> None:
        """Deletes a key; it is no error if there is none."""
        self._api.kv_delete(key)

    def update(
        self, key: str, change: Callable[[Any], Any], *, default: Any = None, expires: timedelta | None = None
    ) -> Any:
        """Changes a value, whoever else does so: `change` makes the new one of the old one, or of the default.

        Answers the new value. `change` is called again when somebody else was first; it does nothing else, therefore.
        Raises UnavailableError when that happens again and again.
        """
        return self._run(_update(key, change, default, expires))

    def keys(self, prefix: str = "") -> list[str]:
        """All keys that begin so, in order."""
        keys: list[str] = self._run(_keys(prefix))
        return keys


class AsyncKeyValueStore:
    """The same for `async def` handlers: `self.async_kv`. See `KeyValueStore`."""

    def __init__(self, api: AsyncPluginAPIClient) -> None:
        self._api = api

    async def _run(self, steps: _Steps) -> Any:
        answer: Any = None
        try:
            while True:
                method, args, kwargs = steps.send(answer)
                answer = await getattr(self._api, method)(*args, **kwargs)
        except StopIteration as end:
            return end.value

    async def get(self, key: str, default: Any = None) -> Any:
        """See `KeyValueStore.get`."""
        return await self._run(_get(key, default))

    async def set(self, key: str, value: Any, *, expires: timedelta | None = None) -> None:
        """See `KeyValueStore.set`."""
        await self._run(_set(key, value, expires))

    async def delete(self, key: str) -> None:
        """See `KeyValueStore.delete`."""
        await self._api.kv_delete(key)

    async def update(
        self, key: str, change: Callable[[Any], Any], *, default: Any = None, expires: timedelta | None = None
    ) -> Any:
        """See `KeyValueStore.update`."""
        return await self._run(_update(key, change, default, expires))

    async def keys(self, prefix: str = "") -> list[str]:
        """See `KeyValueStore.keys`."""
        keys: list[str] = await self._run(_keys(prefix))
        return keys
