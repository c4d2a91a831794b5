"""The fixture `plugin_host`, which pytest finds by itself where the SDK is installed.

A module of its own: pytest imports it in every session, and the SDK, gRPC with it, only where the fixture is taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from effect_plugin.testing import PluginHost, StartPlugin


@pytest.fixture
def plugin_host() -> Iterator[StartPlugin]:
    """Starts plugins: `plugin_host(MyPlugin, config={...})` is a `PluginHost`, active until the test ends."""
    from effect_plugin.testing import host_of

    with contextlib.ExitStack() as stack:

        def start(plugin_class: Any, **options: Any) -> PluginHost[Any]:
            return stack.enter_context(host_of(plugin_class)(plugin_class, **options))

        yield start
