"""The reference page of a contract's hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .hooks import BASE_HANDLERS, Hooks
from .reference import Page, TypeLinks, code

INTRO = """\
{about}A hook is a method of your plugin that the host calls. `@hook(HookName.OnActivate)` above a method makes it the
handler of `OnActivate`. The method may have any name that does not begin with an underscore, and may be `def` or
`async def`. Its arguments are given in this order; what they are called is up to you.

- **Decides**: a text that the handler returns refuses. None is no opinion.
- **Is told**: nothing that the handler returns changes anything.
- **Answers**: what the handler returns is its answer.

That is what the `.proto` files say: a hook whose response has a field for a refusal decides, and one whose response has
no fields is told. When a hook is called, and what comes of an answer, is for the host to say. What a handler returns
goes into the fields of the response, and "answers" below speaks of these. An exception that it raises fails the call.
"""

#: The heading of the hooks that no contract declares.
OF_EVERY_PLUGIN = "What every plugin has"

#: What they are for, and what a handler may return.
_ABOUT_BASE = {
    "OnActivate": (
        "The plugin has been started, and its host API is reachable. No other hook is called before this has "
        "succeeded, but OnConfigurationChange, once.",
        "may return None or a text, which says why the plugin can't become active",
    ),
    "OnDeactivate": (
        "The plugin is about to be stopped, whatever its handler does.",
        "may return None or a text, which is logged as a failure",
    ),
    "OnConfigurationChange": (
        "The plugin's settings may have changed. Called before OnActivate, and then after each change.",
        "may return None or a text, which is logged as a failure",
    ),
    "ServeHTTP": (
        "An HTTP request to the plugin; its path no longer has the `/plugins/{id}` before it. `wsgi` and `asgi` of "
        "`effect_plugin.web` make a handler of a web application.",
        "the answer is what it writes, and it returns nothing",
    ),
}

#: What a text means that a handler returns.
_TEXTS = {"refuses": "refuses and says why", "fails": "is a failure", "answers": "is shown to the user"}


class Handler(NamedTuple):
    """What a hook's entry says."""

    name: str
    about: str
    #: Names and types.
    arguments: dict[str, str]
    #: The type of what it may return.
    accepted: str
    #: Lines about arguments and results.
    notes: list[str]


class HooksPage(Page):
    """The page of all hooks, by the headings in the contract."""

    title = "Hooks"

    def __init__(self, hooks: Hooks, types: TypeLinks, about: str) -> None:
        """`about` is what the contract says of its service."""
        super().__init__(types)
        self.hooks = hooks
        self.contract = hooks.contract
        self.about = about

    def intro(self) -> str:
        """What is said before the members."""
        return INTRO.format(about=f"{self.about}\n\n" if self.about else "")

    def members(self) -> Mapping[str, Sequence[Handler]]:
        """The hooks by headings; those below none are below their service's name."""
        service = self.hooks.service
        found: dict[str, list[Handler]] = {}
        for hook in self.hooks.rpcs():
            section = self.contract.sections[f"{service}.{hook.name}"] or service.rpartition(".")[2]
            arguments, accepted = self.hooks.handler(hook)
            about = self.contract.comments[f"{service}.{hook.name}"]
            handler = Handler(hook.name, about, arguments, accepted, self.notes(hook))
            found.setdefault(section, []).append(handler)
        if not self.contract.own_life:
            found.setdefault(OF_EVERY_PLUGIN, []).extend(
                Handler(name, _ABOUT_BASE[name][0], *handler, [_ABOUT_BASE[name][1]])
                for name, handler in BASE_HANDLERS.items()
            )
        return found

    def kind(self, hook: Any) -> str:
        """What a hook is for: `decides`, `is told` or `answers`."""
        response = self.contract.message_of(hook.output_type)
        if not response.field:
            return "is told"
        return "decides" if self.hooks.verdicts(response) else "answers"

    def results(self, hook: Any) -> str:
        """What a handler may return, in words."""
        may = ["None"]
        values = self.hooks.values(hook)
        if len(values) > 1:
            first, *others = (f"`{name}: {value}`" for name, value in values.items())
            may.append(f"a value: {first} (and {', '.join(others)}, in a tuple)")
        elif values:
            may.append(f"a value: `{''.join(values.values())}`")
        if text := self.hooks.text_kind(hook):
            may.append(f"a text, which {_TEXTS[text]}")
        if len(may) > 1:
            return f"may return {', '.join(may[:-1])} or {may[-1]}"
        return "what it returns counts for nothing"

    def notes(self, hook: Any) -> list[str]:
        """Lines about arguments and results."""
        arguments, answers = self.hooks.comments(hook)
        return [
            *(f"`{name}`: {comment}" for name, comment in arguments.items() if comment),
            f"{self.kind(hook)}; {self.results(hook)}",
            *(f"answers `{name}`: {comment}" for name, comment in answers.items() if comment),
        ]

    def entry(self, member: Handler) -> list[str]:
        """What there is below a hook's heading."""
        given = ["self", *(f"{name}: {kind}" for name, kind in member.arguments.items())]
        returns = "None" if member.accepted == "object" else member.accepted
        lines = [f"{member.about}\n"] if member.about else []
        lines.append(code(f"@hook(HookName.{member.name})\ndef handler", given, returns))
        lines += [*(f"- {note}" for note in member.notes), ""]
        return [*lines, *self.types.line([*member.arguments.values(), member.accepted])]
