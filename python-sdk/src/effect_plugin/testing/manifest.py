"""The settings that a plugin's manifest declares, read as a host reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

#: The names of a manifest's file, in the order a host looks for them; the first that exists counts.
_FILES = ("plugin.yml", "plugin.yaml", "plugin.json")

_NO_YAML = (
    "{} can't be read without PyYAML, so its settings' defaults are unknown: "
    "pip install 'effect-plugin-supervisor-sdk[testing]'"
)

#: YAML 1.2's plain scalars (10.3.2). PyYAML reads 1.1, to which `off` is a boolean and `010` is 8.
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGERS = ((re.compile(r"[-+]?[0-9]+"), 10), (re.compile(r"0o[0-7]+"), 8), (re.compile(r"0x[0-9a-fA-F]+"), 16))
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def declared_settings(plugin_path: str) -> dict[str, Any]:
    """The keys of the settings in a bundle's manifest with their defaults, None where there is none.

    A bundle without a manifest declares none. Raises ValueError for a manifest that can't be read, and RuntimeError for
    one in YAML where PyYAML is missing.
    """
    files = [file for file in (Path(plugin_path, name) for name in _FILES) if plugin_path and file.is_file()]
    if not files:
        return {}
    try:
        text = files[0].read_text("utf-8")
        manifest = json.loads(text) if files[0].suffix == ".json" else _yaml(files[0], text)
        schema = _fields(_fields(manifest).get("settings_schema", {}))
        parts = [schema, *map(_fields, schema.get("sections", []))]
        settings = [_fields(setting) for part in parts for setting in part.get("settings", [])]
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{files[0]} is not a valid plugin manifest: {error}") from error
    return {setting["key"]: setting.get("default") for setting in settings if "key" in setting}


def _fields(value: Any) -> dict[str, Any]:
    """An object of the manifest: a key may be in any case, and null is as good as absent."""
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, not {value!r}")
    return {key.lower(): item for key, item in value.items() if item is not None}


def _yaml(file: Path, text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise RuntimeError(_NO_YAML.format(file)) from error

    def value(node: Any) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return [value(item) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return {str(key.value): value(item) for key, item in node.value}
        # Texts in quotes are texts.
        return _plain(node.value) if node.style is None else node.value

    try:
        return value(yaml.compose(text, yaml.BaseLoader))
    except yaml.YAMLError as error:
        raise ValueError(error) from error


def _plain(text: str) -> Any:
    if _NULL.fullmatch(text):
        return None
    if _BOOLEAN.fullmatch(text):
        return text.lower() == "true"
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(text):
            return int(text, base)
    return float(text) if _FLOAT.fullmatch(text) else text
