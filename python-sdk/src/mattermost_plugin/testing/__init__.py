"""Tests of plugins without a host: the plugin runs in the test's own process, against a host API that is made up.

With pytest, take the fixture `plugin_host`; without it, `PluginHost` is a context manager.
"""

from effect_plugin.testing import TEST_TIMEOUT, APICall, HTTPAnswer

from .host_api import FakeHostAPI
from .key_values import FakeKeyValueStore
from .plugin_host import PluginHost, StartPlugin

__all__ = [
    "TEST_TIMEOUT",
    "APICall",
    "FakeHostAPI",
    "FakeKeyValueStore",
    "HTTPAnswer",
    "PluginHost",
    "StartPlugin",
]
