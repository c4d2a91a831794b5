"""The types: an enum for each of the contract's, and a dataclass for every message that is no request or response."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .described import Described, documented, enum_members, shadows, with_builtins
from .imports import imports_of
from .names import attribute_of

#: What a module of types may need of Python's own.
IMPORTED = ("builtins", "dataclasses", "field", "datetime", "timedelta", "_datetime", "_timedelta", "IntEnum", "Any")


class ModelsSource:
    """Writes the module of the types. Contracts with names and defaults of their own have a subclass."""

    #: Where to change what is written.
    made_by = "Generated: change the .proto files instead."

    #: Other names that types have.
    aliases: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, contract: Described) -> None:
        self.contract = contract

    #: What the module needs of the SDK.
    own_imports = (
        "from effect_plugin.contract import Model, contract_enum, model\n\nfrom ._descriptors import DESCRIPTORS"
    )

    def fields(self, name: str) -> Iterator[tuple[str, str, str, str]]:
        """A model's fields in their order: name, type, default and comment."""
        message = self.contract.models[name]
        for field in message.field:
            annotation, default = self.contract.annotation(field, message)
            yield attribute_of(field.name), annotation, default, self.contract.comments[f"{name}.{field.name}"]

    def enum(self, name: str) -> str:
        """An enum's class."""
        full = self.contract.full_names[name]
        doc = documented(self.contract.comments[name] or f"`{full}`.")
        rows = [f"    {member} = {number}" for member, number in enum_members(self.contract, name)]
        head = f'\n\n@contract_enum(DESCRIPTORS.enum("{full}"))\nclass {name}(IntEnum):\n    """{doc}"""\n\n'
        return head + "\n".join(rows)

    def model(self, name: str) -> str:
        """A model's class."""
        fields = list(self.fields(name))
        if shadows([attribute for attribute, *_ in fields]) or any(attribute == "field" for attribute, *_ in fields):
            fields = [(at, with_builtins(kind), _qualified(default), text) for at, kind, default, text in fields]
        full = self.contract.full_names[name]
        doc = documented(self.contract.comments[name] or f"{name}.")
        out = [f'\n\n@model\nclass {name}(Model):\n    """{doc}"""\n\n    DESCRIPTOR = DESCRIPTORS.message("{full}")']
        if fields:
            out.append("")
        for attribute, annotation, default, comment in fields:
            if comment:
                out.append(f"    #: {comment}")
            out.append(f"    {attribute}: {annotation} = {default}")
        return "\n".join(out)

    def source(self) -> str:
        """The module."""
        out = [*map(self.enum, self.contract.enums), *map(self.model, self.contract.models)]
        out += [f"\n\n{alias} = {name}" for alias, name in self.aliases.items()]
        names = [*self.contract.enums, *self.contract.models, *self.aliases]
        out.append(f"\n__all__ = {sorted(names)!r}".replace("'", '"'))
        body = "\n".join(out) + "\n"
        head = f'"""The types of the contract. {self.made_by}"""\n\nfrom __future__ import annotations\n\n'
        return head + imports_of(body, *IMPORTED) + f"\n\n{self.own_imports}\n" + body


def _qualified(default: str) -> str:
    return re.sub(r"\bfield\(default_factory=(\w+)\)", r"dataclasses.field(default_factory=builtins.\1)", default)
