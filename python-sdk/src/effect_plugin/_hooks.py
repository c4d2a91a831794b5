"""Which hooks there are, and how a plugin says that a method handles one."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

from ._dispatch import handler_arguments

if TYPE_CHECKING:
    from .contract import Contract

#: The attribute that marks a method as the handler of a hook.
HOOK_ATTRIBUTE = "__plugin_hook__"


class HookRegistrationError(Exception):
    """A handler can't be registered: its hook does not exist, is taken, or is handed other arguments."""


def mark(contract: Contract, name: Any = None) -> Any:
    """What a contract's decorator `hook` does. Raises HookRegistrationError for what can't be one of its handlers."""
    if name is None or isinstance(name, str):
        return lambda handler: _mark(contract, handler, name)
    return _mark(contract, name, None)


def serves_http(handler: Any) -> Any:
    """Marks a handler of ServeHTTP, which the plugins of all contracts may have."""
    setattr(handler, HOOK_ATTRIBUTE, "ServeHTTP")
    return handler


def signature_of(function: Any) -> inspect.Signature:
    """A function's signature. What its annotations name need not be there: nothing here asks what they say."""
    if sys.version_info < (3, 14):
        return inspect.signature(function)
    import annotationlib  # type: ignore[import-not-found, unused-ignore]

    return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)


def check_arguments(handler: Any, handles: str, arguments: list[str]) -> None:
    """Raises HookRegistrationError for a method that can't take these arguments."""
    try:
        signature_of(handler).bind(None, *arguments)
    except TypeError:
        takes = ", ".join(["self", *arguments])
        raise HookRegistrationError(f"{handler.__qualname__} can't handle {handles}: it must take ({takes})") from None


def _mark(contract: Contract, handler: Any, given: str | None) -> Any:
    if not callable(handler) or not hasattr(handler, "__qualname__") or isinstance(handler, type):
        raise HookRegistrationError(
            f"@hook is for methods, and takes a HookName, a hook's name, or nothing; it was given {handler!r}"
        )
    name = handler.__name__ if given is None else str(getattr(given, "value", given))
    if name not in contract.hooks:
        raise HookRegistrationError(f"{handler.__qualname__}: there is no hook {name!r}; {_closest(contract, name)}")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise HookRegistrationError(
            f"{handler.__qualname__} can't handle {name}: it yields, and so its body would not run; let it return"
        )
    check_arguments(handler, name, handler_arguments(contract, contract.hooks[name]))
    if getattr(handler, HOOK_ATTRIBUTE, name) != name:
        # It handles another hook as well.
        handler = _copied(handler)
    setattr(handler, HOOK_ATTRIBUTE, name)
    return handler


def _copied(handler: Any) -> Any:
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def another_async(*args: Any) -> Any:
            return await handler(*args)

        return another_async

    @functools.wraps(handler)
    def another(*args: Any) -> Any:
        return handler(*args)

    return another


def _closest(contract: Contract, name: str) -> str:
    from difflib import get_close_matches

    names = {known.lower(): known for known in contract.hooks}
    found = get_close_matches(name.replace("_", "").lower(), names, 1)
    return (
        f"say @hook(HookName.{names[found[0]]})" if found else "name one of HookName, as in @hook(HookName.OnActivate)"
    )
