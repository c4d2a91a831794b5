"""The reference page of a contract's host API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .api import Method
from .reference import Page, TypeLinks, code

INTRO = """\
{about}Each of these methods is one of `self.api`, for `def` handlers, and, with the same arguments, one of
`self.async_api`, where it is awaited. Arguments may be given by name; what is left out has the default.

What fails raises a `PluginAPIError`, of the kind that stands for the gRPC status: `NotFoundError` for `NOT_FOUND`, say.
A method that the host does not have raises `NotImplementedByHostError`.
"""


class ApiPage(Page):
    """The page of all methods, by the headings in the contract."""

    title = "The host API"

    #: What a method answers where that is several fields.
    several = "an object with"

    def __init__(self, methods: Sequence[Method], types: TypeLinks, service: str, about: str) -> None:
        """`about` is what the contract says of its service."""
        super().__init__(types)
        self.methods = methods
        self.service = service
        self.about = about

    def intro(self) -> str:
        """What is said before the members."""
        return INTRO.format(about=f"{self.about}\n\n" if self.about else "")

    def members(self) -> Mapping[str, Sequence[Method]]:
        """The methods by headings; those below none are below their service's name."""
        found: dict[str, list[Method]] = {}
        for method in self.methods:
            section = method.contract.sections[f"{self.service}.{method.rpc.name}"]
            found.setdefault(section or self.service.rpartition(".")[2], []).append(method)
        return found

    def answers(self, method: Method) -> list[str]:
        """What is answered, beside the type."""
        fields = method.result_fields()
        is_several = method.returns() == method.result_name
        lines = []
        if is_several:
            listed = ", ".join(f"`{name}: {kind}`" for name, kind, _ in fields)
            lines.append(f"- answers {self.several} {listed}")
        for name, _, comment in fields:
            if comment:
                lines.append(f"- answers{f' `{name}`' if is_several else ''}: {comment}")
        return lines

    def notes(self, method: Method) -> list[str]:
        """Paragraphs at the end of a method's entry."""
        return []

    def entry(self, member: Method) -> list[str]:
        """What there is below a method's heading."""
        comment = member.contract.comments[f"{self.service}.{member.rpc.name}"]
        lines = [f"{comment}\n"] if comment else []
        lines.append(code(f"def {member.name}", member.parameters(), member.returns()))
        bullets = [*(f"- {doc}" for doc in member.docs), *self.answers(member)]
        if bullets:
            lines += [*bullets, ""]
        named = [member.returns(), *member.parameters(), *(kind for _, kind, _ in member.result_fields())]
        return [*lines, *self.types.line(named), *self.notes(member)]
