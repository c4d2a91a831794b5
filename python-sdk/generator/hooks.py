"""The hooks: their names, and for type checkers what a handler of each is given and may return."""

from __future__ import annotations

from typing import Any

from .contract import Contract

HEAD = '''"""The hooks of the contract. Generated: see generate.py."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Iterable, Literal, Mapping, TypeVar, overload

from .models import *

if TYPE_CHECKING:
    from ..http import HTTPRequest, HTTPResponseWriter


class HookName(str, Enum):
    """The names of all hooks of the contract; each value is the name itself."""
'''

#: The first line of the table of hooks in the documents.
TABLE_HEAD = "| hook | a handler gets | its value | its text |"

HOOK_DOC = '''
    """Marks a method as the handler of a hook: `@hook(HookName.OnActivate)`, `@hook("OnActivate")`, or `@hook` and
    `@hook()` on a method that is called as the hook is.

    Raises HookRegistrationError for an unknown hook, and for a handler that can't take the hook's arguments.
    """
    raise NotImplementedError
'''


def _payload(contract: Contract, field: Any, response: Any) -> str:
    """What of a handler's result goes into a field of the response."""
    annotation = contract.annotation(field, response)[0].removesuffix(" | None")
    if field.label == 3:
        return f"Iterable[{annotation.removeprefix('list[').removesuffix(']')}]"
    return f"{annotation} | Mapping[str, Any]" if field.type == 11 else annotation


def result(contract: Contract, response: Any) -> str:
    """The type of what a handler may return. The rules are those of `mattermost_plugin.dispatch`."""
    names = [field.name for field in response.field]
    if not names:
        return "object"
    verdict = "str | BaseException"
    payloads = [_payload(contract, f, response) for f in response.field if f.name not in ("error", "rejection_reason")]
    accepted = ["None", *payloads[:1]]
    if len(names) > len(payloads):
        accepted.append(verdict)
        # (payload, reason), and with two payloads (first, second, reason) as well.
        accepted += [
            f"tuple[{', '.join(f'{payload} | None' for payload in payloads[:count])}, {verdict} | None]"
            for count in range(1, len(payloads) + 1)
        ]
    return " | ".join(accepted)


def _argument(contract: Contract, field: Any, request: Any) -> str:
    annotation = contract.annotation(field, request)[0]
    # Only what is declared optional can be missing.
    return annotation if field.proto3_optional else annotation.removesuffix(" | None")


def hooks(contract: Contract) -> list[Any]:
    """The rpcs that are hooks."""
    return [method for method in contract.services["PluginHooks"].method if method.name != "Implemented"]


def handler(contract: Contract, hook: Any) -> tuple[dict[str, str], str]:
    """A handler's arguments with their types, and the type of what it may return."""
    if hook.name == "ServeHTTP":
        return {"ctx": "PluginContext", "writer": "HTTPResponseWriter", "request": "HTTPRequest"}, "object"
    request = contract.messages[hook.input_type.rsplit(".", 1)[1]]
    response = contract.messages[hook.output_type.rsplit(".", 1)[1]]
    given = {
        "ctx" if field.name == "plugin_context" else field.name: _argument(contract, field, request)
        for field in request.field
        if field.name != "context"
    }
    return given, result(contract, response)


def hooks_source(contract: Contract) -> str:
    """The module of the hooks' names and types."""
    names = [hook.name for hook in hooks(contract)]
    out = [HEAD, *(f'    {name} = "{name}"' for name in names), "\n\nif TYPE_CHECKING:"]
    out.append('    _Handler = TypeVar("_Handler", bound=Callable[..., Any])')
    for hook in hooks(contract):
        arguments, accepted = handler(contract, hook)
        bound = f"Callable[[{', '.join(['Any', *arguments.values()])}], {accepted} | Awaitable[{accepted}]]"
        out.append(f'    _{hook.name} = TypeVar("_{hook.name}", bound="{bound}")')
    out.append("")
    for name in names:
        literal = f'Literal[HookName.{name}, "{name}"]'
        out.append(f"    @overload\n    def hook(name: {literal}) -> Callable[[_{name}], _{name}]: ...")
    out.append("    @overload\n    def hook(name: _Handler) -> _Handler: ...")
    out.append("    @overload\n    def hook(name: None = None) -> Callable[[_Handler], _Handler]: ...")
    out.append(f"    def hook(name: Any = None) -> Any:{HOOK_DOC}".replace("\n    ", "\n        ").rstrip())
    return "\n".join(out) + "\n"


def values(contract: Contract, hook: Any) -> list[str]:
    """The types of what a handler may answer that takes the place of what was asked about."""
    if hook.name == "ServeHTTP":
        return []
    response = contract.messages[hook.output_type.rsplit(".", 1)[1]]
    return [
        _payload(contract, field, response).replace(" | Mapping[str, Any]", "").replace("Iterable", "list")
        for field in response.field
        if field.name not in ("error", "rejection_reason")
    ]


def text_kind(contract: Contract, hook: Any) -> str:
    """What a text that a handler answers does: `refuses`, `fails`, `answers`; empty where it may answer none."""
    response = contract.messages[hook.output_type.rsplit(".", 1)[1]]
    names = {field.name for field in response.field}
    if hook.name == "ServeHTTP" or not names & {"error", "rejection_reason"}:
        return ""
    # An error is a refusal where something is about to happen, and a failure everywhere else; a user who has typed a
    # command is to read the text.
    if "WillBe" in hook.name or "rejection_reason" in names:
        return "refuses"
    return "answers" if hook.name == "ExecuteCommand" else "fails"


def hooks_table(contract: Contract) -> str:
    """The hooks as a table in Markdown, for the documents."""
    rows = [TABLE_HEAD, "|---|---|---|---|"]
    for hook in hooks(contract):
        given = ", ".join(f"`{name}: {kind}`" for name, kind in handler(contract, hook)[0].items())
        answered = ", ".join(f"`{value}`" for value in values(contract, hook))
        row = f"| `{hook.name}` | {given} | {answered} | {text_kind(contract, hook)} |"
        rows.append(row.replace(" | None`", " \\| None`"))
    return "\n".join(rows) + "\n"
