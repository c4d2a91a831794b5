"""Base classes that are loaded when something of theirs is asked for: a plugin needs none of their methods to start."""

from __future__ import annotations

import importlib
import threading
from typing import Any

from . import _process as process

#: To load one may take a moment, in which another thread asks, too.
_LOADING = threading.RLock()


def base_class(module: str, name: str) -> Any:
    """A class of a module, as a base; in a plugin's process one that becomes it when it has to."""
    if not process.started_by_host():
        # Who looks at the classes, as `help()` does, sees them as they are.
        return getattr(importlib.import_module(module), name)
    return _Late(name, (), {"_late": (module, name), "__getattr__": _of_instance, "__init_subclass__": _of_subclass})


class _Late(type):
    """What has such a base."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        _load(cls)
        return type.__getattribute__(cls, name)

    def __dir__(cls) -> list[str]:
        _load(cls)
        return list(super().__dir__())


def _load(owner: type) -> None:
    """Puts what is late in its place, if no other thread has done that meanwhile."""
    with _LOADING:
        for each in owner.__mro__:
            if any("_late" in vars(base) for base in each.__bases__):
                each.__bases__ = tuple(map(_loaded, each.__bases__))


def _loaded(base: type) -> type:
    if "_late" not in vars(base):
        return base
    module, name = vars(base)["_late"]
    loaded: type = getattr(importlib.import_module(module), name)
    return loaded


def _of_instance(self: Any, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
    _load(type(self))
    return object.__getattribute__(self, name)


@classmethod  # type: ignore[misc]
def _of_subclass(cls: type, **kwargs: Any) -> None:
    # `super()` looks only at what is there. The first subclass is the one that has this as its base itself.
    for base in cls.__bases__:
        if "_late" not in vars(base):
            _load(base)
