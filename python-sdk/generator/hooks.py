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


def hooks_source(contract: Contract) -> str:
    """The module of the hooks' names and types."""
    hooks = [method for method in contract.services["PluginHooks"].method if method.name != "Implemented"]
    out = [HEAD, *(f'    {hook.name} = "{hook.name}"' for hook in hooks), "\n\nif TYPE_CHECKING:"]
    out.append('    _Handler = TypeVar("_Handler", bound=Callable[..., Any])')
    for hook in hooks:
        if hook.name == "ServeHTTP":
            arguments, accepted = ["PluginContext", "HTTPResponseWriter", "HTTPRequest"], "object"
        else:
            request = contract.messages[hook.input_type.rsplit(".", 1)[1]]
            response = contract.messages[hook.output_type.rsplit(".", 1)[1]]
            accepted = result(contract, response)
            arguments = [_argument(contract, field, request) for field in request.field if field.name != "context"]
        handler = f"Callable[[{', '.join(['Any', *arguments])}], {accepted} | Awaitable[{accepted}]]"
        out.append(f'    _{hook.name} = TypeVar("_{hook.name}", bound="{handler}")')
    out.append("")
    for hook in hooks:
        name = f'Literal[HookName.{hook.name}, "{hook.name}"]'
        out.append(f"    @overload\n    def hook(name: {name}) -> Callable[[_{hook.name}], _{hook.name}]: ...")
    out.append("    @overload\n    def hook(name: _Handler) -> _Handler: ...")
    out.append("    @overload\n    def hook(name: str | None = None) -> Callable[[_Handler], _Handler]: ...")
    out.append(f"    def hook(name: Any = None) -> Any:{HOOK_DOC}".replace("\n    ", "\n        ").rstrip())
    return "\n".join(out) + "\n"


def _argument(contract: Contract, field: Any, request: Any) -> str:
    annotation = contract.annotation(field, request)[0]
    # Only what is declared optional can be missing.
    return annotation if field.proto3_optional else annotation.removesuffix(" | None")
