"""A host API for Mattermost's contract that is made up."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from typing import Any

import grpc

from effect_plugin._descriptors import message_class
from effect_plugin._values import fill, reader
from effect_plugin.testing import host_api

from .._contract import CONTRACT
from ..exceptions import PluginAPIError, to_app_error
from .key_values import FakeKeyValueStore


class FakeHostAPI(host_api.FakeHostAPI):
    """A host API for tests. It keeps the calls it gets, and answers what it was told to answer.

    What needs no telling: methods that answer nothing succeed, what is created or updated comes back (with an id), the
    key-value store and the plugin's configuration work. Any other method has to be told.
    """

    #: The key-value store.
    kv: FakeKeyValueStore

    #: The settings as they are stored, which is what `get_plugin_config` answers. What `load_plugin_configuration`
    #: answers has the manifest's defaults as well, and its keys in lower case.
    config: dict[str, Any]

    def __init__(self, plugin_id: str, config: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> None:
        """`settings` are the keys of the manifest's settings, with their defaults."""
        #: How often the plugin has saved its configuration, and was not told yet that it has changed.
        self.saves = 0
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        super().__init__(CONTRACT, plugin_id, config, settings)
        self.kv = FakeKeyValueStore()

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Changes settings; upper and lower case count as the same."""
        changed = {key.lower() for key in changes}
        kept = {key: value for key, value in self.config.items() if key.lower() not in changed}
        self.config = self._one_spelling({**kept, **changes})

    def _one_spelling(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Settings with one spelling of each key: the manifest's, or else the first in the order of their letters."""
        chosen: dict[str, str] = {}
        for key in sorted(config):
            if key in self._settings or key.lower() not in chosen:
                chosen[key.lower()] = key
        return {key: config[key] for key in chosen.values()}

    def loaded(self) -> dict[str, Any]:
        """The settings as `load_plugin_configuration` answers them, with the manifest's defaults."""
        defaults = {key: value for key, value in self._settings.items() if value is not None}
        stored = self._one_spelling(self.config)
        return _as_json({key.lower(): value for key, value in {**defaults, **stored}.items()})

    def service(self) -> grpc.GenericRpcHandler:
        """The host API as a gRPC server takes it."""
        return self.services()[0]

    def _failed(self, response: Any, error: PluginAPIError) -> Any:
        response.error.CopyFrom(to_app_error(error).to_proto())
        return response

    def _unasked(self, method: str, given: dict[str, Any], fields: list[Any]) -> Any:
        if method.startswith("kv_"):
            # The plugin's handlers may call from several threads; nothing comes between a comparison and its change.
            with self._lock:
                return getattr(self.kv, method)(**given)
        if method == "save_plugin_config":
            self.config = self._one_spelling(given["config"])
            self.saves += 1
        if not fields:
            return None
        if method == "get_plugin_config":
            return self.config
        if method == "load_plugin_configuration":
            return self.loaded()
        if method == "get_plugin_id":
            return self.plugin_id
        if method == "get_bundle_path" and self.plugin_path:
            return self.plugin_path
        # create_post and its like: what comes in goes out.
        echoed = given.get(fields[0].name)
        if echoed is not None and method.startswith(("create_", "update_", "send_")):
            if getattr(echoed, "id", None) == "":
                echoed.id = f"id{next(self._ids)}"
            return echoed
        return self._lacks(method, 501)


def _as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it comes back from a host, to which all numbers are JSON's."""
    response = message_class(CONTRACT.api_methods["GetPluginConfig"].output_type)()
    field = response.DESCRIPTOR.fields_by_name["config"]
    fill(response, field, config)
    read: dict[str, Any] = reader(field)(response.config)
    return read
