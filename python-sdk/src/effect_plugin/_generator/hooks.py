"""The hooks: their names, and for type checkers what a handler of each is given and may return."""

from __future__ import annotations

from typing import Any

from .described import BASE_HOOKS, ContractError, Described
from .names import attribute_of, snake_case

HEAD = '''"""The hooks of the contract. {made_by}"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Iterable, Literal, Mapping, TypeVar, overload

{imports}


class HookName(str, Enum):
    """The names of all hooks of the contract; each value is the name itself."""
'''

HOOK_DOC = '''
    """Marks a method as the handler of a hook: `@hook(HookName.OnActivate)`, `@hook("OnActivate")`, or `@hook` and
    `@hook()` on a method that is called as the hook is.

    Raises HookRegistrationError for an unknown hook, and for a handler that can't take the hook's arguments.
    """
'''

#: What a handler of the plugin's own life may return: nothing, or why it has failed.
_LIFE_RESULT = "None | str | BaseException"

#: The arguments of the handlers that no contract declares, with their types, and the type of what they may return.
BASE_HANDLERS: dict[str, tuple[dict[str, str], str]] = {
    **{name: ({}, _LIFE_RESULT) for name in BASE_HOOKS},
    "ServeHTTP": ({"ctx": "HTTPRequestContext", "writer": "HTTPResponseWriter", "request": "HTTPRequest"}, "object"),
}


def is_text(field: Any) -> bool:
    """Whether a field is one text."""
    return bool(field.type == 9 and field.label != 3)


class Hooks:
    """What the hooks of a contract are given and may answer."""

    def __init__(self, contract: Described, service: str) -> None:
        self.contract = contract
        self.service = service
        for rpc in contract.services[service].method:
            if contract.own_life:
                continue
            if rpc.name in (*BASE_HOOKS, "Implemented"):
                raise ContractError(
                    f"{service}.{rpc.name} is what every contract has without declaring it; rename it, or leave it out"
                )
            if rpc.client_streaming or rpc.server_streaming:
                raise ContractError(f"{service}.{rpc.name} streams; a hook takes one message and answers one")
            # Both are messages that a handler can be told of.
            contract.message_of(rpc.input_type)
            contract.message_of(rpc.output_type)

    def rpcs(self) -> list[Any]:
        """The rpcs that are hooks."""
        return [method for method in self.contract.services[self.service].method if method.name != "Implemented"]

    def names(self) -> list[str]:
        """The names of all hooks."""
        own = [method.name for method in self.rpcs()]
        return own if self.contract.own_life else [*BASE_HOOKS, *own]

    def _payload(self, field: Any, response: Any) -> str:
        """What of a handler's result goes into a field of the response."""
        annotation = self.contract.annotation(field, response)[0].removesuffix(" | None")
        if annotation.startswith("list[") and field.label == 3:
            return f"Iterable[{annotation.removeprefix('list[').removesuffix(']')}]"
        is_message = field.label != 3 and self.contract.names.get(field.type_name) in self.contract.messages
        return f"{annotation} | Mapping[str, Any]" if is_message else annotation

    def verdicts(self, response: Any) -> list[str]:
        """The names of the fields by which a response says no: the first text that may."""
        return [field.name for field in response.field if field.name in self.contract.refusals and is_text(field)][:1]

    def result(self, hook: Any) -> str:
        """The type of what a handler may return. The rules are those of `effect_plugin._dispatch`."""
        response = self.contract.message_of(hook.output_type)
        if not response.field:
            return "object"
        verdict, verdicts = "str | BaseException", self.verdicts(response)
        payloads = [self._payload(f, response) for f in response.field if f.name not in verdicts]
        if self.contract.is_whole(hook.output_type, "Response"):
            payloads = [f"{self.contract.name_of(hook.output_type)} | Mapping[str, Any]"]
        accepted = ["None", *payloads[:1]]
        if verdicts:
            accepted.append(verdict)
            # (payload, reason), and with two payloads (first, second, reason) as well.
            accepted += [
                f"tuple[{', '.join(f'{payload} | None' for payload in payloads[:count])}, {verdict} | None]"
                for count in range(1, len(payloads) + 1)
            ]
        elif len(payloads) > 1:
            accepted.append(f"tuple[{', '.join(f'{payload} | None' for payload in payloads)}]")
        return " | ".join(accepted)

    def handler(self, hook: Any) -> tuple[dict[str, str], str]:
        """A handler's arguments with their types, and the type of what it may return."""
        if self.contract.is_whole(hook.input_type, "Request"):
            name = self.contract.name_of(hook.input_type)
            return {attribute_of(snake_case(name)): name}, self.result(hook)
        request = self.contract.message_of(hook.input_type)
        return {self.argument(field): self.argument_type(field, request) for field in request.field}, self.result(hook)

    def argument(self, field: Any) -> str:
        """What the argument for a field of the request is called."""
        return attribute_of(field.name)

    def argument_type(self, field: Any, request: Any) -> str:
        """The type of the argument for a field of the request."""
        annotation = self.contract.annotation(field, request)[0]
        # Only what is declared optional can be missing, and what Python has a type of its own for.
        of_the_contract = field.type_name in self.contract.names
        is_there = of_the_contract and not field.HasField("oneof_index")
        return annotation.removesuffix(" | None") if is_there else annotation

    def signatures(self) -> dict[str, tuple[list[str], str]]:
        """The types of each hook's arguments, and of its result."""
        made = {} if self.contract.own_life else {**BASE_HANDLERS}
        made.update((hook.name, self.handler(hook)) for hook in self.rpcs())
        return {name: ([*arguments.values()], accepted) for name, (arguments, accepted) in made.items()}

    def signatures_by_name(self) -> dict[str, list[str]]:
        """The names of the arguments of each hook of the contract's own."""
        return {hook.name: [*self.handler(hook)[0]] for hook in self.rpcs()}

    def source(self, imports: str, made_by: str) -> str:
        """The module of the hooks' names and types."""
        names = self.names()
        out = [HEAD.format(imports=imports, made_by=made_by)]
        out += [*(f'    {name} = "{name}"' for name in names), "\n\nif TYPE_CHECKING:"]
        out.append('    _AnyHandler = TypeVar("_AnyHandler", bound=Callable[..., Any])')
        for name, (arguments, accepted) in self.signatures().items():
            bound = f"Callable[[{', '.join(['Any', *arguments])}], {accepted} | Awaitable[{accepted}]]"
            out.append(f'    _{name} = TypeVar("_{name}", bound="{bound}")')
        out.append("")
        for name in names:
            literal = f'Literal[HookName.{name}, "{name}"]'
            out.append(f"    @overload\n    def hook(name: {literal}) -> Callable[[_{name}], _{name}]: ...")
        out.append("    @overload\n    def hook(name: _AnyHandler) -> _AnyHandler: ...")
        out.append("    @overload\n    def hook(name: None = None) -> Callable[[_AnyHandler], _AnyHandler]: ...")
        for before, body in (("", "raise NotImplementedError"), ("else:\n\n", "return CONTRACT.hook(name)")):
            defined = f"def hook(name: Any = None) -> Any:{HOOK_DOC}    {body}".replace("\n    ", "\n        ")
            out.append(f"{before}    {defined}")
        return "\n".join(out) + "\n"

    def values(self, hook: Any) -> dict[str, str]:
        """The types of what a handler may answer that is no refusal, by the response's fields that it goes into."""
        response = self.contract.message_of(hook.output_type)
        if response.field and self.contract.is_whole(hook.output_type, "Response"):
            name = self.contract.name_of(hook.output_type)
            return {attribute_of(snake_case(name)): name}
        return {
            attribute_of(field.name): self._payload(field, response)
            .replace(" | Mapping[str, Any]", "")
            .replace("Iterable", "list")
            for field in response.field
            if field.name not in self.verdicts(response)
        }

    def text_kind(self, hook: Any) -> str:
        """What a text that a handler answers does: `refuses`; empty where it may answer none."""
        return "refuses" if self.verdicts(self.contract.message_of(hook.output_type)) else ""

    def comments(self, hook: Any) -> tuple[dict[str, str], dict[str, str]]:
        """What the contract says of a handler's arguments, and of the fields that its result goes into.

        Those of a message that is handed over as it is are with its type.
        """
        request, response = map(self.contract.message_of, (hook.input_type, hook.output_type))
        arguments = {} if self.contract.is_whole(hook.input_type, "Request") else self.handler(hook)[0]
        answers = [] if self.contract.is_whole(hook.output_type, "Response") else response.field
        asked = {self.argument(field): self.contract.comment_of(field, request) for field in request.field}
        return (
            {name: asked[name] for name in arguments},
            {attribute_of(field.name): self.contract.comment_of(field, response) for field in answers},
        )
