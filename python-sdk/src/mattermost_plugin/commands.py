"""Slash commands: which method handles which, what the host is told of them, and which one a user has typed."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Callable, NamedTuple, TypeVar, Union

from effect_plugin._hooks import HookRegistrationError, check_arguments

from .plugin import COMMANDS_ATTRIBUTE
from .types import Command, CommandArgs, CommandResponse, PluginContext

#: What a handler of a command may return; a text is the answer's text.
CommandResult = Union[None, str, CommandResponse, Mapping[str, Any]]

Handler = TypeVar(
    "Handler",
    bound=Callable[[Any, PluginContext, CommandArgs, str], Union[CommandResult, Awaitable[CommandResult]]],
)


class CommandSpec(NamedTuple):
    """A command as it is declared."""

    #: The trigger, and the words of a subcommand behind it.
    words: tuple[str, ...]
    hint: str
    description: str


def command(name: str, *, hint: str = "", description: str = "") -> Callable[[Handler], Handler]:
    """Has a method handle a slash command, `@command("todo")`, or a subcommand, `@command("todo add")`.

    It is called as `handler(ctx, args, text)`, where `text` is what follows the command's words; it may be `async def`.
    What it returns is the command's answer: a text, a CommandResponse, a dict of its fields, or None. `hint` shows the
    arguments (`[text]`) and `description` what they are for, while a user types.

    The command is registered when the plugin is activated. Raises HookRegistrationError for a name that no user could
    type, and for a handler that can't take these arguments.
    """
    words = tuple(name.lower().split())
    if not words or any(word.startswith("/") for word in words):
        raise HookRegistrationError(
            f"a command is a word without its slash, and words of a subcommand behind it; {name!r} is none"
        )
    spec = CommandSpec(words, hint, description)

    def mark(handler: Handler) -> Handler:
        check_arguments(handler, f"/{' '.join(words)}", ["ctx", "args", "text"])
        setattr(handler, COMMANDS_ATTRIBUTE, [*getattr(handler, COMMANDS_ATTRIBUTE, []), spec])
        return handler

    return mark


class Commands:
    """The commands of a class of plugins."""

    def __init__(self, methods: Mapping[str, Any]) -> None:
        """`methods` are those of the class, by name. Raises HookRegistrationError where two handle one command."""
        self._handlers: dict[tuple[str, ...], tuple[str, CommandSpec]] = {}
        for attribute, method in methods.items():
            for spec in getattr(method, COMMANDS_ATTRIBUTE, []):
                other = self._handlers.get(spec.words)
                if other is not None:
                    names = f"{methods[other[0]].__qualname__} and {method.__qualname__}"
                    raise HookRegistrationError(f"{names} both handle /{' '.join(spec.words)}; keep one")
                self._handlers[spec.words] = attribute, spec

    def __bool__(self) -> bool:
        return bool(self._handlers)

    def registrations(self) -> list[Command]:
        """What the host is told: a command for each trigger."""
        made = []
        for trigger in sorted({words[0] for words in self._handlers}):
            whole = self._handlers.get((trigger,))
            subcommands = self._subcommands(trigger)
            hint = whole[1].hint if whole else ""
            described = whole[1].description if whole else ""
            made.append(
                Command(
                    trigger=trigger,
                    auto_complete=True,
                    auto_complete_hint=hint or (f"[{'|'.join(subcommands)}]" if subcommands else ""),
                    auto_complete_desc=described or "; ".join(filter(None, map(self._line, self._of(trigger)))),
                )
            )
        return made

    def find(self, typed: str) -> tuple[str, str] | None:
        """The method that handles what a user has typed, and what follows the command's words."""
        longest = max(map(len, self._handlers), default=0)
        # No more words than a command has: what a user types may have any number.
        words = typed.strip().removeprefix("/").lower().split(None, longest)[:longest]
        for count in range(len(words), 0, -1):
            found = self._handlers.get(tuple(words[:count]))
            if found is not None:
                rest = typed.strip().split(None, count)
                return found[0], rest[count].strip() if len(rest) > count else ""
        return None

    def usage(self, typed: str) -> str | None:
        """What there is to type, for who has typed a trigger and something unknown; None for another trigger."""
        trigger = next(iter(typed.strip().removeprefix("/").lower().split()), "")
        specs = self._of(trigger)
        if not specs:
            return None
        return "\n".join(["There is:", *(f"- `{self._typed(spec)}` {spec.description}".rstrip() for spec in specs)])

    def _of(self, trigger: str) -> list[CommandSpec]:
        return [spec for words, (_, spec) in sorted(self._handlers.items()) if words[0] == trigger]

    def _subcommands(self, trigger: str) -> list[str]:
        return sorted({spec.words[1] for spec in self._of(trigger) if len(spec.words) > 1})

    @staticmethod
    def _typed(spec: CommandSpec) -> str:
        return f"/{' '.join(spec.words)} {spec.hint}".rstrip()

    @staticmethod
    def _line(spec: CommandSpec) -> str:
        return f"{' '.join(spec.words[1:])}: {spec.description}" if spec.description else ""
