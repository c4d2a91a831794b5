"""What a generated module needs of Python's own."""

from __future__ import annotations

import re

#: The modules of what may be named; a module by itself has none.
_MODULES = {
    "builtins": "",
    "dataclasses": "",
    "dataclass": "dataclasses",
    "field": "dataclasses",
    "datetime": "datetime",
    "timedelta": "datetime",
    "_datetime": "datetime",
    "_timedelta": "datetime",
    "IntEnum": "enum",
    "Any": "typing",
}


def imports_of(body: str, *names: str) -> str:
    """The imports of those of these names that a module's text has."""
    wholes: list[str] = []
    parts: dict[str, list[str]] = {}
    for name in names:
        if not re.search(rf"\b{name}\b", body):
            continue
        if _MODULES[name]:
            parts.setdefault(_MODULES[name], []).append(f"{name[1:]} as {name}" if name.startswith("_") else name)
        else:
            wholes.append(f"import {name}")
    return "\n".join([*wholes, *(f"from {module} import {', '.join(found)}" for module, found in parts.items())])
