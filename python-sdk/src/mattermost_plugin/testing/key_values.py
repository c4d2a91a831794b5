"""A key-value store that is made up, with the rules of a host's."""

from __future__ import annotations

import time
from typing import Any

from effect_plugin._exceptions import PluginAPIError, ValidationError

#: Characters of a key, bytes of a value, and keys in a page, which may not be more; and keys where no number is named.
_KEY_LENGTH, _VALUE_LIMIT, _PAGE_LIMIT, _PAGE = 150, 8 * 1024 * 1024, 10_000, 10


class FakeKeyValueStore(dict[str, bytes]):
    """A key-value store: a dict that knows the host API's methods. Values that have expired are gone.

    The methods raise PluginAPIError and its kinds as a host answers errors.
    """

    def __init__(self) -> None:
        self._expiry: dict[str, float] = {}

    def _current(self, key: str) -> bytes:
        if self._expiry.get(key, float("inf")) <= time.monotonic():
            self.pop(key, None)
        return self.get(key, b"")

    def _put(self, key: str, value: bytes, seconds: int) -> None:
        self._expiry.pop(key, None)
        if value:
            self[key] = value
            if seconds:
                # One that is negative has passed.
                self._expiry[key] = time.monotonic() + seconds
        else:
            self.pop(key, None)

    def _set(self, key: str, value: bytes, seconds: int = 0) -> None:
        _check(key, value)
        self._put(key, value, seconds)

    def _replace(self, key: str, old: bytes, new: bytes, seconds: int = 0) -> bool:
        _check(key, new)
        # There is nothing to be done for nothing in place of nothing.
        done = self._current(key) == old and bool(old or new)
        if done:
            self._put(key, new, seconds)
        return done

    def kv_get(self, key: str) -> bytes:
        """The value; empty when there is none."""
        return self._current(key)

    def kv_set(self, key: str, value: bytes) -> None:
        """Sets a value; an empty one deletes."""
        self._set(key, value)

    def kv_set_with_expiry(self, key: str, value: bytes, expire_in_seconds: int) -> None:
        """Sets a value for some seconds; 0 is for good."""
        self._set(key, value, expire_in_seconds)

    def kv_delete(self, key: str) -> None:
        """Forgets a value."""
        self._put(key, b"", 0)

    def kv_delete_all(self) -> None:
        """Forgets all values."""
        self.clear()

    def kv_list(self, page: int, per_page: int) -> list[str]:
        """The keys, sorted, a page of them: 10 where `per_page` is not positive, and 10,000 at most."""
        limit = per_page if per_page > 0 else _PAGE
        if limit > _PAGE_LIMIT:
            rule = f"per_page is {limit}, and may be {_PAGE_LIMIT} at most"
            raise ValidationError(rule, error_id="api.context.invalid_body_param.app_error")
        keys = sorted(key for key in list(self) if self._current(key))
        return keys[max(0, page * per_page) :][:limit]

    def kv_compare_and_set(self, key: str, old_value: bytes, new_value: bytes) -> bool:
        """Sets a value if the current one is the old one."""
        return self._replace(key, old_value, new_value)

    def kv_compare_and_delete(self, key: str, old_value: bytes) -> bool:
        """Forgets a value if it is the old one."""
        return self._replace(key, old_value, b"")

    def kv_set_with_options(self, key: str, value: bytes, options: Any) -> bool:
        """Sets a value by the rules of PluginKVSetOptions."""
        if not options:
            self._set(key, value)
            return True
        if options.atomic:
            return self._replace(key, options.old_value, value, options.expire_in_seconds)
        if options.old_value:
            rule = "An old value goes only with an atomic set"
            raise ValidationError(rule, error_id="model.plugin_kvset_options.is_valid.old_value.app_error")
        self._set(key, value, options.expire_in_seconds)
        return True


def _check(key: str, value: bytes) -> None:
    if not 1 <= len(key) <= _KEY_LENGTH:
        rule = f"A key has 1 to {_KEY_LENGTH} characters, this one has {len(key)}"
        raise ValidationError(rule, error_id="model.plugin_key_value.is_valid.key.app_error")
    if len(value) > _VALUE_LIMIT:
        rule = f"A value has up to {_VALUE_LIMIT} bytes; keep larger ones in parts, or as files"
        raise PluginAPIError(rule, error_id="app.plugin_store.save.too_large.app_error", status_code=413)
