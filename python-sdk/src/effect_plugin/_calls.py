"""The calls of handlers that one call of a hook becomes: most hooks have one handler, some may have several."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if TYPE_CHECKING:
    from .contract import Contract

#: The hooks of a plugin's own life. They have an answer, whether it failed, and every part of a plugin may have a say.
LIFE_HOOKS = frozenset({"OnActivate", "OnDeactivate", "OnConfigurationChange"})


def takes_several(contract: Contract, hook: str) -> bool:
    """Whether a hook may have several handlers: it only tells, or it is one of the plugin's own life."""
    return hook in LIFE_HOOKS or not contract.hooks[hook].output_type.fields


class HandlerCall(NamedTuple):
    """A handler, and what it is given."""

    function: Callable[..., Any]
    args: list[Any]

    @property
    def name(self) -> str:
        """What its author calls it: `MyPlugin.greet`."""
        return getattr(self.function, "__qualname__", None) or repr(self.function)


class Outcome(NamedTuple):
    """What has become of a handler's call: the response, or an error that the response can't say."""

    response: Any = None
    error: Exception | None = None
    #: Whether the handler has failed, whichever of the two says so.
    failed: bool = False


async def call_in_turn(
    hook: str, calls: Sequence[HandlerCall], attempt: Callable[[HandlerCall, int], Awaitable[Outcome]]
) -> Outcome:
    """Calls a hook's handlers one after the other; answers the first failure, or what the last one answered.

    All are called, whichever fails; but none that follows one that has failed to activate. `attempt` is also given how
    many handlers the time that is left is for.
    """
    outcome = Outcome()
    for index, call in enumerate(calls):
        # Who can't be activated has no use for the others' share.
        latest = await attempt(call, 1 if hook == "OnActivate" else len(calls) - index)
        if not outcome.failed:
            outcome = latest
        if outcome.failed and hook == "OnActivate":
            break
    return outcome
