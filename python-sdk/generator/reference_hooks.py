"""The reference page of the hooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from effect_plugin._generator.reference import Section, TypeLinks
from effect_plugin._generator.reference_hooks import HooksPage

from .contract import MattermostContract
from .mattermost_hooks import MattermostHooks
from .reference import NOTE, Host, overview

INTRO = """\
A hook is a method of your plugin that the host calls. `@hook(HookName.OnActivate)` above a method makes it the
handler of `OnActivate`. The method may have any name that does not begin with an underscore, and may be `def` or
`async def`. Its arguments are given in this order; what they are called is up to you.
[python-sdk.md](../python-sdk.md#hooks) has the rules for results, deadlines and exceptions.

- **Decides**: plugins are asked one after the other, in the order of their ids, each about what the one before made
  of the matter; the first refusal ends it. None says nothing. Whether a plugin that fails is passed over or refuses
  is the operator's to say ([hooks.md](../hooks.md#when-a-plugin-fails)).
- **Is told**: what has happened, in the background and in order. Nothing that the handler returns changes anything,
  and what it raises is logged.
- **Answers**: each plugin that is asked answers for itself.

The first paragraph of each is the contract's own, and so is what is said of arguments and of the fields of the
response. What a handler returns goes into these fields: a text that refuses, or says what has failed, into
`rejection_reason` or `error`, and a value, which may take the place of the original, into the others.

Calls of `plugin-supervisor serve` are marked; a backend of your own calls what it wants to.
"""


class MattermostHooksPage(HooksPage):
    """The page of all hooks."""

    note = NOTE

    def __init__(self, contract: MattermostContract, types: TypeLinks, host: Host) -> None:
        super().__init__(MattermostHooks(contract), types, "")
        self.host = host

    def intro(self) -> str:
        """What is said before the members."""
        return INTRO

    def overview(self, sections: Sequence[Section]) -> list[str]:
        """Links to all members."""
        return overview(("called by `serve`", "elsewhere only"), sections, lambda hook: hook.name in self.host.called)

    def kind(self, hook: Any) -> str:
        """What a hook is for: `decides`, `is told` or `answers`."""
        if hook.name in self.host.deciding:
            return "decides"
        return "is told" if hook.name in self.host.notifications else "answers"

    def results(self, hook: Any) -> str:
        """What a handler may return, in words."""
        if hook.name == "ServeHTTP":
            return "the answer is what it writes, and it returns nothing"
        return super().results(hook)

    def notes(self, hook: Any) -> list[str]:
        """Lines about arguments and results."""
        called = "called" if hook.name in self.host.called else "not called"
        return [*super().notes(hook), f"{called} by `plugin-supervisor serve`"]
