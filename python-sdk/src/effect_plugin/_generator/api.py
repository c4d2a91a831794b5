"""The clients: a method for every rpc of the host API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .described import ContractError, Described, documented, shadows, with_builtins
from .names import attribute_of, method_of

_UNKNOWN = "raise NotImplementedError"


class Method:
    """A method of the clients: its signature, and the request it makes of its arguments."""

    def __init__(self, contract: Described, service: str, rpc: Any) -> None:
        if rpc.client_streaming or rpc.server_streaming:
            raise ContractError(
                f"{service}.{rpc.name} streams; the methods of a host API take one message and answer one"
            )
        self.name = method_of(rpc.name)
        self.rpc = rpc
        self.contract = contract
        self.service = service
        self.request = contract.message_of(rpc.input_type)
        self.response = contract.message_of(rpc.output_type)
        #: What is answered, by field; a thing, which is no `…Response`, is answered whole.
        self.is_whole = contract.is_whole(rpc.output_type, "Response")
        self.result = [] if self.is_whole else [field for field in self.response.field if field.name != contract.error]
        #: For each field of the request the expression it is filled with.
        self.sent: dict[str, Any] = {}
        self.positional: list[str] = []
        self.keyword: list[str] = []
        #: What the contract says of the arguments, "`name`: comment".
        self.docs: list[str] = []
        self.declare()

    def declare(self) -> None:
        """Takes every field as an argument that may be left out: so no field that is added breaks a call."""
        for field in self.request.field:
            annotation, default = self.contract.annotation(field, self.request)
            name = attribute_of(field.name)
            if default.startswith("field("):
                annotation, default = f"{annotation} | None", "None"
            self.positional.append(f"{name}: {annotation} = {default}")
            self.sent[field.name] = name
            self.document(name, field, self.request)

    def document(self, name: str, field: Any, owner: Any) -> None:
        """Notes what the contract says of an argument."""
        if comment := self.contract.comment_of(field, owner):
            self.docs.append(f"`{name}`: {comment}")

    @property
    def result_name(self) -> str:
        """The class of what a method answers, if that is several fields."""
        taken = self.contract.names.values()
        names = [f"{self.rpc.name}{end}" for end in ("Result", "Answer", "Answer_")]
        return next(name for name in names if name not in taken)

    def returns(self) -> str:
        """The type of what the method answers."""
        if self.is_whole:
            return self.contract.name_of(self.rpc.output_type)
        if len(self.result) > 1:
            return self.result_name
        return self.result_fields()[0][1] if self.result else "None"

    def result_fields(self) -> list[tuple[str, str, str]]:
        """Name, type and comment of what the response has beside its error."""
        return [
            (attribute_of(f.name), self.result_annotation(f), self.contract.comment_of(f, self.response))
            for f in self.result
        ]

    def result_annotation(self, field: Any) -> str:
        """The type of a field of the response: a message is there, unless it is declared `optional`."""
        annotation = self.contract.annotation(field, self.response)[0]
        if field.type_name in self.contract.names and not field.HasField("oneof_index"):
            return annotation.removesuffix(" | None")
        return annotation

    def result_source(self) -> str:
        """The class of what a method answers, if that is several fields."""
        fields = self.result_fields()
        if shadows([name for name, *_ in fields]):
            fields = [(name, with_builtins(annotation), comment) for name, annotation, comment in fields]
        rows = [f"    {name}: {annotation}" for name, annotation, _ in fields]
        head = f'\n\n@dataclass(frozen=True)\nclass {self.result_name}:\n    """What `{self.name}` answers."""\n\n'
        return head + "\n".join(rows)

    def parameters(self) -> list[str]:
        """The parameters after `self`, as Python writes them."""
        return [*self.positional, *(["*", *self.keyword] if self.keyword else [])]

    def expression(self, name: str) -> str:
        """What a field of the request is filled with."""
        return str(self.sent[name])

    def call(self, awaited: str) -> str:
        """The call that does it."""
        sent = "".join(f', "{name}": {self.expression(name)}' for name in self.sent)
        call = f'{awaited}self._call("{self.rpc.name}", {{{sent[2:]}}})'
        return f"{self.result_name}(*{call})" if self.returns() == self.result_name else call

    def source(self, is_async: bool) -> str:
        """The method of one of the clients."""
        doc = documented(self.contract.comments[f"{self.service}.{self.rpc.name}"] or f"Calls `{self.rpc.name}`.")
        if self.docs:
            doc += "\n\n        " + "\n        ".join(map(documented, self.docs))
        head = "async def" if is_async else "def"
        end = '\n        """' if self.docs else '"""'
        return (
            f"    {head} {self.name}({', '.join(['self', *self.parameters()])}) -> {self.returns()}:\n"
            f'        """{doc}{end}\n        return {self.call("await " if is_async else "")}\n'
        )


def methods_of(contract: Described, service: str) -> list[Method]:
    """The methods of the clients, in the contract's order."""
    methods = [Method(contract, service, rpc) for rpc in contract.services[service].method]
    names: dict[str, str] = {}
    for method in methods:
        if method.name in names:
            raise ContractError(
                f"{service}.{names[method.name]} and {method.rpc.name} would both be {method.name}() in Python; "
                "rename one"
            )
        names[method.name] = method.rpc.name
    return methods


def api_source(methods: Sequence[Method], head: str, more: tuple[str, ...] = ()) -> str:
    """The module of the methods. `more` are bodies of methods that both clients have, and that theirs lean on."""
    out = [head, *(method.result_source() for method in methods if method.returns() == method.result_name)]
    for name, is_async in (("PluginAPIMethods", False), ("AsyncPluginAPIMethods", True)):
        begin = "async def" if is_async else "def"
        out.append(f'\n\nclass {name}:\n    """One method for each rpc of the host API."""\n')
        out.append(f"    {begin} _call(self, rpc: str, values: dict[str, Any], /) -> Any:\n        {_UNKNOWN}\n")
        out += [f"    {begin} {declared}:\n        {_UNKNOWN}\n" for declared in more]
        sources = [method.source(is_async) for method in methods]
        if shadows([method.name for method in methods]):
            sources = [_with_builtins(source) for source in sources]
        out += sources
    return "\n".join(out)


def _with_builtins(source: str) -> str:
    head, newline, body = source.partition("\n")
    before, bracket, parameters = head.partition("(")
    return before + bracket + with_builtins(parameters) + newline + body
