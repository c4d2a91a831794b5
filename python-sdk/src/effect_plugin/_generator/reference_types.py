"""The reference page of a contract's types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .described import enum_members
from .models import ModelsSource
from .reference import Page, TypeLinks, cell

INTRO = """\
All are in `{package}.types`. An enum is an `IntEnum`, and everything else a dataclass that can be changed: every field
has a default, and all may be given by name. A field whose default is `None` is None when it is not set.
"""


class TypesPage(Page):
    """The page of all types: enums, then dataclasses, in alphabetical order."""

    title = TypeLinks.title

    def __init__(self, models: ModelsSource, types: TypeLinks, package: str) -> None:
        super().__init__(types)
        self.models = models
        self.package = package

    def intro(self) -> str:
        """What is said before the members."""
        return INTRO.format(package=self.package)

    def members(self) -> Mapping[str, Sequence[str]]:
        """The names of all types."""
        return {"": self.types.names}

    def name(self, member: str) -> str:
        """A member's heading."""
        return member

    def enum_members(self, name: str) -> Iterator[tuple[str, str]]:
        """An enum's members, and their values as Python writes them."""
        yield from ((member, str(number)) for member, number in enum_members(self.models.contract, name))

    def entry(self, member: str) -> list[str]:
        """What there is below a type's heading."""
        contract = self.models.contract
        lines = [f"{comment}\n"] if (comment := contract.comments[member]) else []
        lines += [f"Also called `{alias}`.\n" for alias, of in self.models.aliases.items() if of == member]
        rows = self._members(member) if member in contract.enums else self._fields(member)
        return [*lines, *rows, ""] if rows else lines

    def _members(self, name: str) -> list[str]:
        contract = self.models.contract
        comments = [contract.comments[f"{name}.{value.name}"] for value in contract.enums[name].value]
        rows = ["| member | value |", "|---|---|"]
        rows += [f"| `{name}.{member}` | `{value}` |" for member, value in self.enum_members(name)]
        if any(comments):
            rows = [f"{row}{end}" for row, end in zip(rows, [" |", "---|", *(f" {cell(text)} |" for text in comments)])]
        return rows

    def _fields(self, name: str) -> list[str]:
        rows = []
        for attribute, annotation, default, about in self.models.fields(name):
            made = {"field(default_factory=dict)": "{}", "field(default_factory=list)": "[]"}.get(default, default)
            shown = self.types.within_their_page(annotation)
            rows.append(f"| `{attribute}` | {shown} | `{made}` | {cell(about)} |")
        return ["| field | type | default | |\n|---|---|---|---|", *rows] if rows else []
