"""The host's key-value store with JSON values."""

from effect_plugin._store import AsyncKeyValueStore, KeyValueStore

__all__ = ["AsyncKeyValueStore", "KeyValueStore"]
