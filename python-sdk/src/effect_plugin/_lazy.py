"""Names of a package that are imported when somebody asks for them: a plugin needs few of them to start."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable

from . import _process as process

#: New objects after which the garbage collector looks at them while modules are loaded, of which nothing is garbage. No
#: round number, by which it is known again.
_WHILE_LOADING = 99_991


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Spares a plugin's process the garbage collector's looks at what is loaded in the block, now and later."""
    before = gc.get_threshold()
    if not process.started_by_host() or not gc.isenabled() or not 0 < before[0] < _WHILE_LOADING:
        # That is somebody else's affair, or there is a block around this one.
        yield
        return
    gc.set_threshold(_WHILE_LOADING, *before[1:])
    try:
        yield
    finally:
        if gc.get_threshold()[0] == _WHILE_LOADING:
            gc.freeze()
            gc.set_threshold(*before)


def lazily(
    package: str, names: Mapping[str, Iterable[str]], modules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package (PEP 562): `names` by the modules that have them, and its own `modules`.

    Type checkers are told of the names by ordinary imports under `TYPE_CHECKING`.
    """
    module_of = {name: module for module, many in names.items() for name in many}
    own = frozenset(modules)

    def load(module: str) -> Any:
        with loading():
            return importlib.import_module(module)

    def get(name: str) -> Any:
        if name in own:
            return load(f"{package}.{name}")
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(load(f"{package}.{module_of[name]}"), name)
        # From now on it is found without this.
        setattr(sys.modules[package], name, value)
        return value

    def names_of() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_of, *own})

    return get, names_of
