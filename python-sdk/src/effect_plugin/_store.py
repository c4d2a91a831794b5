"""The host's key-value store with JSON values."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any, Callable, Protocol

from ._exceptions import UnavailableError
from ._values import json_bytes

#: How often a value that others keep changing is tried to be changed.
_ATTEMPTS = 50

#: Keys in a page of the host's.
PAGE = 200

#: A call of the host API: its method, and its arguments.
Call = tuple[str, tuple[Any, ...], dict[str, Any]]

Steps = Generator[Call, Any, Any]


def call(method: str, *args: Any, **kwargs: Any) -> Call:
    """A call of the client's method, for whoever runs the steps."""
    return method, args, kwargs


class KeyValueCalls(Protocol):
    """How a contract's host is asked for keys and values: for each, the calls that it takes, and what they answer."""

    def get(self, key: str) -> Steps:
        """The value in bytes, or None."""
        ...

    def set(self, key: str, value: bytes, expires: timedelta | None) -> Steps:
        """Sets it, for good or for some time."""
        ...

    def delete(self, key: str) -> Steps:
        """Deletes it, if it is there."""
        ...

    def replace(self, key: str, old: bytes | None, value: bytes, expires: timedelta | None) -> Steps:
        """Sets it if it is the old one still, or still isn't there; answers whether it has."""
        ...

    def keys(self, prefix: str) -> Steps:
        """All keys that begin so, in order."""
        ...


class HostKeyValues:
    """The store of hosts of contracts without rpcs of their own for it."""

    def get(self, key: str) -> Steps:
        """See `KeyValueCalls`."""
        value = yield call("_call", "HostKeyValues.GetValue", {"key": key})
        return value

    def set(self, key: str, value: bytes, expires: timedelta | None) -> Steps:
        """See `KeyValueCalls`."""
        yield call("_call", "HostKeyValues.SetValue", {"key": key, "value": value, **_expiring(expires)})

    def delete(self, key: str) -> Steps:
        """See `KeyValueCalls`."""
        yield call("_call", "HostKeyValues.DeleteValue", {"key": key})

    def replace(self, key: str, old: bytes | None, value: bytes, expires: timedelta | None) -> Steps:
        """See `KeyValueCalls`."""
        condition = {"if_absent": True} if old is None else {"if_equal": old}
        given = {"key": key, "value": value, **_expiring(expires), **condition}
        done = yield call("_call", "HostKeyValues.SetValue", given)
        return done

    def keys(self, prefix: str) -> Steps:
        """See `KeyValueCalls`."""
        keys: list[str] = []
        while True:
            after = keys[-1] if keys else ""
            page = yield call("_call", "HostKeyValues.ListKeys", {"after": after, "limit": PAGE, "prefix": prefix})
            keys += page
            if len(page) < PAGE:
                return keys


def _expiring(expires: timedelta | None) -> dict[str, int]:
    return {} if expires is None else {"expires_in_millis": -(-expires // timedelta(milliseconds=1))}


def _lasting(expires: timedelta | None) -> timedelta | None:
    if expires is not None and expires <= timedelta(0):
        raise ValueError(f"a value expires after some time, not after {expires}")
    return expires


def _get(calls: KeyValueCalls, key: str, default: Any) -> Steps:
    value = yield from calls.get(key)
    return json.loads(value) if value else default


def _set(calls: KeyValueCalls, key: str, value: Any, expires: timedelta | None) -> Steps:
    yield from calls.set(key, json_bytes(value), _lasting(expires))


def _update(
    calls: KeyValueCalls, key: str, change: Callable[[Any], Any], default: Any, expires: timedelta | None
) -> Steps:
    for _ in range(_ATTEMPTS):
        old = yield from calls.get(key)
        value = change(json.loads(old) if old else default)
        if (yield from calls.replace(key, old, json_bytes(value), _lasting(expires))):
            return value
    raise UnavailableError(f"the value of {key!r} has been changed by others {_ATTEMPTS} times in between")


class KeyValueStore:
    """The plugin's key-value store, with values that JSON can say. In sync handlers: `self.kv`.

    Errors are those of the host API. A value that is not JSON, because something else has written it, is a ValueError.
    """

    def __init__(self, api: Any) -> None:
        self._calls: KeyValueCalls = api._contract.key_values
        self._api = api

    def _run(self, steps: Steps) -> Any:
        answer: Any = None
        try:
            while True:
                method, args, kwargs = steps.send(answer)
                answer = getattr(self._api, method)(*args, **kwargs)
        except StopIteration as end:
            return end.value

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key; the default where there is none."""
        return self._run(_get(self._calls, key, default))

    def set(self, key: str, value: Any, *, expires: timedelta | None = None) -> None:
        """Sets a value, for good or for some time. Raises TypeError or ValueError for what JSON can't say."""
        self._run(_set(self._calls, key, value, expires))

    def delete(self, key: str) -> None:
        """Deletes a key; it is no error if there is none."""
        self._run(self._calls.delete(key))

    def update(
        self, key: str, change: Callable[[Any], Any], *, default: Any = None, expires: timedelta | None = None
    ) -> Any:
        """Changes a value, whoever else does so: `change` makes the new one of the old one, or of the default.

        Answers the new value. `change` is called again when somebody else was first; it does nothing else, therefore.
        Raises UnavailableError when that happens again and again.
        """
        return self._run(_update(self._calls, key, change, default, expires))

    def keys(self, prefix: str = "") -> list[str]:
        """All keys that begin so, in order."""
        keys: list[str] = self._run(self._calls.keys(prefix))
        return keys


class AsyncKeyValueStore:
    """The same for `async def` handlers: `self.async_kv`. See `KeyValueStore`."""

    def __init__(self, api: Any) -> None:
        self._calls: KeyValueCalls = api._contract.key_values
        self._api = api

    async def _run(self, steps: Steps) -> Any:
        answer: Any = None
        try:
            while True:
                method, args, kwargs = steps.send(answer)
                answer = await getattr(self._api, method)(*args, **kwargs)
        except StopIteration as end:
            return end.value

    async def get(self, key: str, default: Any = None) -> Any:
        """See `KeyValueStore.get`."""
        return await self._run(_get(self._calls, key, default))

    async def set(self, key: str, value: Any, *, expires: timedelta | None = None) -> None:
        """See `KeyValueStore.set`."""
        await self._run(_set(self._calls, key, value, expires))

    async def delete(self, key: str) -> None:
        """See `KeyValueStore.delete`."""
        await self._run(self._calls.delete(key))

    async def update(
        self, key: str, change: Callable[[Any], Any], *, default: Any = None, expires: timedelta | None = None
    ) -> Any:
        """See `KeyValueStore.update`."""
        return await self._run(_update(self._calls, key, change, default, expires))

    async def keys(self, prefix: str = "") -> list[str]:
        """See `KeyValueStore.keys`."""
        keys: list[str] = await self._run(self._calls.keys(prefix))
        return keys
