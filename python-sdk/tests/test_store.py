"""The key-value store with JSON values."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from mattermost_plugin import Plugin, UnavailableError
from mattermost_plugin.testing import PluginHost


class Storing(Plugin):
    pass


def test_values_are_json() -> None:
    with PluginHost(Storing) as host:
        kv = host.plugin.kv
        assert kv.get("a") is None and kv.get("a", 7) == 7
        values: list[Any] = [{"ä": [1, 2.5, None, True]}, [], "", 0, False, None]
        for value in values:
            kv.set("a", value)
            assert kv.get("a", "nothing") == value
        kv.delete("a")
        assert kv.get("a") is None
        for wrong in (float("nan"), {1, 2}, "\udc80"):
            with pytest.raises((TypeError, ValueError)):
                kv.set("a", wrong)
        host.api.kv["b"] = b"no JSON"
        with pytest.raises(ValueError):
            kv.get("b")


def test_values_expire() -> None:
    with PluginHost(Storing) as host:
        kv = host.plugin.kv
        kv.set("a", 1, expires=timedelta(minutes=1.5))
        kv.update("b", lambda old: old + 1, default=0, expires=timedelta(seconds=0.1))
        assert [call.expire_in_seconds for call in host.api.calls_of("kv_set_with_expiry")] == [90]
        assert [call.options.expire_in_seconds for call in host.api.calls_of("kv_set_with_options")] == [1]
        with pytest.raises(ValueError, match="a value expires after some time"):
            kv.set("a", 1, expires=timedelta(0))


def test_nobody_s_change_is_lost() -> None:
    with PluginHost(Storing) as host:
        kv = host.plugin.kv

        def count() -> None:
            for _ in range(10):
                kv.update("count", lambda old: old + 1, default=0)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert kv.get("count") == 40


def test_a_value_that_never_rests() -> None:
    with PluginHost(Storing) as host:
        host.api.answer("kv_compare_and_set", False)
        with pytest.raises(UnavailableError, match="changed by others 50 times"):
            host.plugin.kv.update("a", lambda _: 1)


def test_what_changes_a_value_may_fail() -> None:
    with PluginHost(Storing) as host:
        with pytest.raises(ZeroDivisionError):
            host.plugin.kv.update("a", lambda _: 1 // 0)
        assert host.plugin.kv.get("a") is None


def test_keys_of_many_pages() -> None:
    with PluginHost(Storing) as host:
        host.api.kv.update({f"user:{number:04}": b"1" for number in range(450)} | {"other": b"1"})
        assert host.plugin.kv.keys("user:") == [f"user:{number:04}" for number in range(450)]
        assert len(host.plugin.kv.keys()) == 451


def test_the_same_for_coroutines() -> None:
    async def use(kv: Any) -> None:
        await kv.set("a", [1], expires=timedelta(days=1))
        assert await kv.update("a", lambda old: [*old, 2]) == [1, 2]
        assert await kv.get("a") == [1, 2] and await kv.keys() == ["a"]
        await kv.delete("a")
        assert await kv.get("a", "gone") == "gone"

    with PluginHost(Storing) as host:
        asyncio.run(use(host.plugin.async_kv))
