"""Tests of plugins without a host: the plugin runs in the test's own process, against a host API that is made up.

With pytest, take the fixture `plugin_host`; without it, `PluginHost` is a context manager.
"""

from .host_api import APICall, FakeHostAPI
from .key_values import FakeKeyValueStore
from .plugin_host import TEST_TIMEOUT, HTTPAnswer, PluginHost, StartPlugin, host_of

__all__ = [
    "TEST_TIMEOUT",
    "APICall",
    "FakeHostAPI",
    "FakeKeyValueStore",
    "HTTPAnswer",
    "PluginHost",
    "StartPlugin",
    "host_of",
]
