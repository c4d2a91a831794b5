"""Which hooks there are, and how a plugin says that a method handles one."""

from __future__ import annotations

import inspect
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
        if callable(name) and not isinstance(name, (str, HookName)):
            return _mark(name, name.__name__)
        return lambda handler: _mark(handler, handler.__name__ if name is None else str(getattr(name, "value", name)))


def _mark(handler: Any, name: str) -> Any:
    if name not in HookName.__members__:
        raise HookRegistrationError(
            f"{handler.__qualname__}: there is no hook {name!r}; name one of HookName, for example "
            f"@hook(HookName.{_closest(name)})"
        )
    if handler.__name__.startswith("_"):
        raise HookRegistrationError(
            f"{handler.__qualname__} handles {name}, but its name begins with an underscore; rename it: "
            "hosts of the published SDK pass such handlers over"
        )
    arguments = handler_arguments(HOOKS.methods_by_name[name])
    try:
        inspect.signature(handler).bind(None, *arguments)
    except TypeError:
        raise HookRegistrationError(
            f"{handler.__qualname__} can't handle {name}: it must take (self, {', '.join(arguments)})".replace(
                ", )", ")"
            )
        ) from None
    setattr(handler, HOOK_ATTRIBUTE, name)
    return handler


def _closest(name: str) -> str:
    from difflib import get_close_matches

    return (get_close_matches(name, list(HookName.__members__), 1, 0) or ["OnActivate"])[0]
