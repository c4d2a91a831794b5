"""What the reference pages for plugin authors have in common, in Markdown. Comments of the contract are Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .described import Described
from .templates import MADE_BY

#: The longest signature on one line.
_LINE = 100


def anchors(headings: Iterable[str]) -> list[str]:
    """What the headings of a page are called in links: of several that are alike, the later ones are numbered."""
    taken: dict[str, int] = {}
    made = []
    for heading in headings:
        base = anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        while anchor in taken:
            taken[base] += 1
            anchor = f"{base}-{taken[base]}"
        taken[anchor] = 0
        made.append(anchor)
    return made


def link(text: str, target: str) -> str:
    """A link whose text is code."""
    return f"[`{text}`]({target})"


def cell(text: str) -> str:
    """A text as it can stand in a table."""
    return text.replace("|", "\\|")


def code(head: str, parameters: list[str], returns: str) -> str:
    """A block with a function's signature, of one line if that is short enough."""
    line = f"{head}({', '.join(parameters)}) -> {returns}"
    if len(line) > _LINE:
        line = f"{head}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f") -> {returns}"
    return f"```pyi\n{line}\n```\n"


class TypeLinks:
    """Where there is more about each type that a signature may name."""

    #: The heading of the page of types.
    title = "Types"

    def __init__(self, contract: Described, elsewhere: Mapping[str, str] | None = None) -> None:
        """`elsewhere` are the places of types that are none of the contract's."""
        #: The contract's, in the order of their page.
        self.names = [*sorted(contract.enums), *sorted(contract.models)]
        self._here = dict(zip(self.names, anchors([self.title, *self.names])[1:]))
        self._targets = {name: f"types.md#{anchor}" for name, anchor in self._here.items()} | {**(elsewhere or {})}

    def _named(self, annotations: Iterable[str]) -> list[str]:
        names = re.findall(r"\w+", " ".join(annotations))
        return [name for name in dict.fromkeys(names) if name in self._targets]

    def line(self, annotations: Iterable[str]) -> list[str]:
        """A line with links to what annotations name; none where that is nothing."""
        found = [link(name, self._targets[name]) for name in self._named(annotations)]
        return [f"Types: {', '.join(found)}.\n"] if found else []

    def within_their_page(self, annotation: str) -> str:
        """An annotation in a table on the page of types."""
        shown = f"`{cell(annotation)}`"
        named = [name for name in self._named([annotation]) if name in self._here]
        return f"[{shown}](#{self._here[named[0]]})" if named else shown


class Section(NamedTuple):
    """A part of a page."""

    #: Empty where the page has no parts.
    heading: str
    anchor: str
    members: Sequence[Any]
    #: A link to each member.
    links: list[str]


class Page:
    """A page with an entry for each of several members. Contracts with more to say have a subclass."""

    note = f"<!-- {MADE_BY} -->"
    title = ""

    def __init__(self, types: TypeLinks) -> None:
        self.types = types

    def intro(self) -> str:
        """What is said before the members."""
        raise NotImplementedError

    def members(self) -> Mapping[str, Sequence[Any]]:
        """The members by the headings that they are below; without parts that is an empty one."""
        raise NotImplementedError

    def name(self, member: Any) -> str:
        """A member's heading."""
        return str(member.name)

    def entry(self, member: Any) -> list[str]:
        """What there is below a member's heading; a paragraph's last line has a newline."""
        raise NotImplementedError

    def overview(self, sections: Sequence[Section]) -> list[str]:
        """Links to all members."""
        return [
            (f"[{section.heading}](#{section.anchor}): " if section.heading else "") + f"{', '.join(section.links)}\n"
            for section in sections
            if section.members
        ]

    def _sections(self) -> list[Section]:
        members = self.members()
        names = {heading: [self.name(member) for member in of] for heading, of in members.items()}
        headings = [self.title]
        for heading, of in names.items():
            headings += [*filter(None, [heading]), *of]
        called = iter(anchors(headings)[1:])
        return [
            Section(
                heading,
                next(called) if heading else "",
                members[heading],
                [link(name, f"#{next(called)}") for name in of],
            )
            for heading, of in names.items()
        ]

    def source(self) -> str:
        """The page."""
        sections = self._sections()
        out = [f"{self.note}\n\n# {self.title}\n\n{self.intro()}", *self.overview(sections)]
        for section in sections:
            if section.heading:
                out.append(f"## {section.heading}\n")
            level = "###" if section.heading else "##"
            for member in section.members:
                out += [f"{level} {self.name(member)}\n", *self.entry(member)]
        return "\n".join(out)
