"""What a class handles: hooks and jobs, by its own methods and by those of the routers that it includes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._calls import takes_several
from ._hooks import HOOK_ATTRIBUTE, HookRegistrationError

if TYPE_CHECKING:
    from ._schedule import Schedule
    from .contract import Contract

#: The attribute of a method that runs now and then.
JOB_ATTRIBUTE = "_effect_plugin_job"


class AnyRouter:
    """What all routers are: most plugins have none, and begin without loading more of them."""


class AnyIncluded:
    """A router as an attribute of a plugin's class."""

    #: The router's class.
    router: Any


def jobs_of(methods: Mapping[str, Any]) -> dict[str, Schedule]:
    """The jobs among a class's methods, by name."""
    return {name: getattr(method, JOB_ATTRIBUTE) for name, method in methods.items() if hasattr(method, JOB_ATTRIBUTE)}


def members_of(owner: type) -> dict[str, Any]:
    """A class's attributes in the order of their definition, those of its base classes first."""
    names = dict.fromkeys(name for base in reversed(owner.__mro__) for name in vars(base))
    return {name: getattr(owner, name, None) for name in names}


class Handlers:
    """The handlers of a class, by their attributes: `greet`, or `reminders.list` of a router that is included."""

    def __init__(self, contract: Contract | None, owner: type, routers: Mapping[str, type] | None = None) -> None:
        """`routers` are the included ones by attribute. Raises HookRegistrationError for what can't work.

        Classes that are there for every contract have none.
        """
        #: The attributes of the included routers.
        self.routers = tuple(routers or ())
        methods: dict[str, Any] = {}
        #: The attributes of each hook's handlers, in the order in which they are called.
        self.hooks: dict[str, list[str]] = {}
        names: dict[str, str] = {}
        for prefix, kind in (("", owner), *((f"{name}.", kind) for name, kind in (routers or {}).items())):
            members = members_of(kind)
            methods.update({prefix + name: member for name, member in members.items()})
            for name, hook in _hooks_among(kind, members).items():
                attribute = prefix + name
                names[attribute] = f"{kind.__name__}.{name}"
                if contract is not None and hook not in contract.hooks:
                    raise HookRegistrationError(
                        f"{names[attribute]} handles {hook}, which is no hook of {contract.package}"
                    )
                others = self.hooks.setdefault(hook, [])
                if others and contract is not None and not takes_several(contract, hook):
                    raise HookRegistrationError(
                        f"{names[others[0]]} and {names[attribute]} both handle {hook}, which takes one answer; "
                        "keep one, and have it call the other"
                    )
                others.append(attribute)
        #: The class's methods, and those of its routers, by attribute.
        self.methods = methods
        self.jobs = jobs_of(methods)
        #: All hooks that there is something to do for; the SDK itself starts jobs.
        self.implemented = set(self.hooks)
        if self.jobs:
            self.implemented.add("OnActivate")

    def warn_of_lost(self, inherited: Handlers, owner: type) -> None:
        """Warns of inherited handlers whose place something else has taken, which nobody may have meant: a veto, say.

        Under the published SDK, too, such a handler is gone.
        """
        for hook, attributes in inherited.hooks.items():
            kept = self.hooks.get(hook, [])
            if not set(kept) <= set(attributes):
                # Another handler has taken over.
                continue
            for attribute in attributes:
                if attribute not in kept and "." not in attribute and callable(getattr(owner, attribute)):
                    warnings.warn(
                        f"{owner.__name__}.{attribute} takes the place of the handler of {hook} and is none; mark it "
                        f"@hook(HookName.{hook}), or set {attribute} = None",
                        stacklevel=3,
                    )


def _hooks_among(owner: type, members: Mapping[str, Any]) -> dict[str, str]:
    """The hooks that a class's own methods handle, by attribute."""
    handlers = {name: member for name, member in members.items() if hasattr(member, HOOK_ATTRIBUTE)}
    public = [handler for name, handler in handlers.items() if not name.startswith("_")]
    found = {}
    for attribute, handler in handlers.items():
        hook = getattr(handler, HOOK_ATTRIBUTE)
        if not attribute.startswith("_"):
            found[attribute] = hook
        elif handler not in public:
            raise HookRegistrationError(
                f"{owner.__name__}.{attribute} handles {hook}, but its name begins with an underscore; rename it: "
                "hosts of the published SDK pass such handlers over"
            )
    return found
