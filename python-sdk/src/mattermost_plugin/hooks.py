"""Which hooks there are, and how a plugin says that a method handles one."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

from ._generated.hooks import HookName as HookName
from .contract import HOOKS
from .dispatch import handler_arguments

#: The attribute that marks a method as the handler of a hook.
HOOK_ATTRIBUTE = "__mattermost_hook__"

#: The reason with which `MessageWillBePosted` drops a post without telling its author.
DISMISS_POST_ERROR = "plugin.message_will_be_posted.dismiss_post"


class HookRegistrationError(Exception):
    """A handler can't be registered: its hook does not exist, is taken, or is handed other arguments."""


if TYPE_CHECKING:
    # Declared there for each hook, with what its handler is given and may return.
    from ._generated.hooks import hook as hook
else:

    def hook(name: Any = None) -> Any:
        """Marks a method as the handler of a hook: `@hook(HookName.OnActivate)`, `@hook("OnActivate")`, or `@hook` and
        `@hook()` on a method that is called as the hook is.

        Raises HookRegistrationError for an unknown hook, and for a handler that can't take the hook's arguments.
        """
        if name is None or isinstance(name, str):
            return lambda handler: _mark(handler, name)
        return _mark(name, None)


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


def _mark(handler: Any, given: str | None) -> Any:
    if not callable(handler) or not hasattr(handler, "__qualname__") or isinstance(handler, type):
        raise HookRegistrationError(
            f"@hook is for methods, and takes a HookName, a hook's name, or nothing; it was given {handler!r}"
        )
    name = handler.__name__ if given is None else str(getattr(given, "value", given))
    if name not in HookName.__members__:
        raise HookRegistrationError(f"{handler.__qualname__}: there is no hook {name!r}; {_closest(name)}")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise HookRegistrationError(
            f"{handler.__qualname__} can't handle {name}: it yields, and so its body would not run; let it return"
        )
    check_arguments(handler, name, handler_arguments(HOOKS.methods_by_name[name]))
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


def _closest(name: str) -> str:
    from difflib import get_close_matches

    names = {known.lower(): known for known in HookName.__members__}
    found = get_close_matches(name.replace("_", "").lower(), names, 1)
    return (
        f"say @hook(HookName.{names[found[0]]})" if found else "name one of HookName, as in @hook(HookName.OnActivate)"
    )
