"""The key-value store of Mattermost's contract."""

from __future__ import annotations

from datetime import timedelta
from math import ceil

from effect_plugin._store import PAGE, Steps, call

from .types import PluginKVSetOptions


class MattermostKeyValues:
    """What `KeyValueStore` calls: an empty value is none, and times are in seconds."""

    def get(self, key: str) -> Steps:
        """See `KeyValueCalls`."""
        value = yield call("kv_get", key)
        return value

    def set(self, key: str, value: bytes, expires: timedelta | None) -> Steps:
        """See `KeyValueCalls`."""
        # The plainest method that will do: hosts need not have all of them.
        if expires is None:
            yield call("kv_set", key, value)
        else:
            yield call("kv_set_with_expiry", key, value, _seconds(expires))

    def delete(self, key: str) -> Steps:
        """See `KeyValueCalls`."""
        yield call("kv_delete", key)

    def replace(self, key: str, old: bytes | None, value: bytes, expires: timedelta | None) -> Steps:
        """See `KeyValueCalls`."""
        if expires is None:
            done = yield call("kv_compare_and_set", key, old or b"", value)
        else:
            options = PluginKVSetOptions(atomic=True, old_value=old or b"", expire_in_seconds=_seconds(expires))
            done = yield call("kv_set_with_options", key, value, options)
        return done

    def keys(self, prefix: str) -> Steps:
        """See `KeyValueCalls`."""
        # All of them first: a page begins elsewhere once keys before it are gone.
        keys: list[str] = []
        while True:
            page = yield call("kv_list", page=len(keys) // PAGE, per_page=PAGE)
            keys += page
            if len(page) < PAGE:
                return [key for key in keys if key.startswith(prefix)]


def _seconds(expires: timedelta) -> int:
    return ceil(expires.total_seconds())
