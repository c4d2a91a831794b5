"""A key-value store that is made up, with the rules of a host's."""

from __future__ import annotations

import threading
import time

from .._exceptions import UnavailableError, ValidationError

#: Characters of a key and bytes of a value, which may not be more.
_KEY_LENGTH, _VALUE_LIMIT = 150, 8 * 1024 * 1024

#: Keys in a page, where no number is named, and at most.
_PAGE, _PAGE_LIMIT = 100, 1000


class FakeKeyValueStore(dict[str, bytes]):
    """A key-value store: a dict of bytes. Values that have expired are gone once they are asked for."""

    def __init__(self) -> None:
        self._expiry: dict[str, float] = {}
        # The plugin's handlers may call from several threads; nothing comes between a comparison and its change.
        self._lock = threading.RLock()

    def current(self, key: str) -> bytes | None:
        """The value, unless it has expired."""
        with self._lock:
            if self._expiry.get(key, float("inf")) <= time.monotonic():
                self.pop(key, None)
            return self.get(key)

    def change(
        self,
        key: str,
        value: bytes,
        millis: int | None = None,
        *,
        if_absent: bool = False,
        if_equal: bytes | None = None,
    ) -> bool:
        """Sets a value if the condition is met; whether it was. Raises as a host does for what it would not take."""
        if not 1 <= len(key) <= _KEY_LENGTH:
            raise ValidationError(f"A key has 1 to {_KEY_LENGTH} characters, this one has {len(key)}")
        if len(value) > _VALUE_LIMIT:
            raise UnavailableError(f"A value has up to {_VALUE_LIMIT} bytes; keep larger ones in parts, or as files")
        with self._lock:
            now = self.current(key)
            if (if_absent and now is not None) or (if_equal is not None and now != if_equal):
                return False
            self[key] = value
            self._expiry.pop(key, None)
            if millis is not None:
                self._expiry[key] = time.monotonic() + millis / 1000
            return True

    def remove(self, key: str, if_equal: bytes | None = None) -> bool:
        """Deletes a value if it is the one that is named; whether there was one."""
        with self._lock:
            now = self.current(key)
            if now is None or (if_equal is not None and now != if_equal):
                return False
            del self[key]
            return True

    def page(self, after: str, limit: int, prefix: str) -> list[str]:
        """Keys behind another one, in the order of their bytes."""
        with self._lock:
            keys = [key for key in sorted(self, key=str.encode) if self.current(key) is not None]
        behind = [key for key in keys if key.encode() > after.encode() and key.startswith(prefix)]
        return behind[: min(limit if limit > 0 else _PAGE, _PAGE_LIMIT)]
