"""Mattermost's hooks: what their handlers are given and may answer, and the table of them in the documents."""

from __future__ import annotations

from typing import Any

from effect_plugin._generator.hooks import Hooks

from .contract import HOOKS, MattermostContract

IMPORTS = """if TYPE_CHECKING:
    from ..http import HTTPRequest, HTTPResponseWriter
    from .models import *
else:
    from .._contract import CONTRACT"""

#: The first line of the table of hooks in the documents.
TABLE_HEAD = "| hook | a handler gets | its value | its text |"


class MattermostHooks(Hooks):
    """What the hooks are given and may answer."""

    contract: MattermostContract

    def __init__(self, contract: MattermostContract) -> None:
        super().__init__(contract, HOOKS)

    def handler(self, hook: Any) -> tuple[dict[str, str], str]:
        """A handler's arguments with their types, and the type of what it may return."""
        if hook.name == "ServeHTTP":
            return {"ctx": "PluginContext", "writer": "HTTPResponseWriter", "request": "HTTPRequest"}, "object"
        given, result = super().handler(hook)
        # The request context is the transport's.
        return {name: kind for name, kind in given.items() if name != "context"}, result

    def argument(self, field: Any) -> str:
        """What the argument for a field of the request is called."""
        return "ctx" if field.name == "plugin_context" else super().argument(field)

    def argument_type(self, field: Any, request: Any) -> str:
        """The type of the argument for a field of the request."""
        annotation = self.contract.annotation(field, request)[0]
        # Only what is declared optional can be missing.
        return annotation if field.proto3_optional else annotation.removesuffix(" | None")

    def verdicts(self, response: Any) -> list[str]:
        """The names of the fields by which a response says no."""
        return [field.name for field in response.field if field.name in self.contract.refusals]

    def values(self, hook: Any) -> dict[str, str]:
        """The types of what a handler may answer that is no refusal, by the response's fields that it goes into."""
        return {} if hook.name == "ServeHTTP" else super().values(hook)

    def comments(self, hook: Any) -> tuple[dict[str, str], dict[str, str]]:
        """What the contract says of a handler's arguments, and of the fields that its result goes into."""
        # What is streamed is no handler's to see.
        return ({}, {}) if hook.name == "ServeHTTP" else super().comments(hook)

    def text_kind(self, hook: Any) -> str:
        """What a text that a handler answers does: `refuses`, `fails`, `answers`; empty where it may answer none."""
        response = self.contract.message_of(hook.output_type)
        names = {field.name for field in response.field}
        if hook.name == "ServeHTTP" or not names & {"error", "rejection_reason"}:
            return ""
        # An error is a refusal where something is about to happen, and a failure everywhere else; a user who has typed
        # a command is to read the text.
        if "WillBe" in hook.name or "rejection_reason" in names:
            return "refuses"
        return "answers" if hook.name == "ExecuteCommand" else "fails"

    def table(self) -> str:
        """The hooks as a table in Markdown, for the documents."""
        rows = [TABLE_HEAD, "|---|---|---|---|"]
        for hook in self.rpcs():
            given = ", ".join(f"`{name}: {kind}`" for name, kind in self.handler(hook)[0].items())
            answered = ", ".join(f"`{value}`" for value in self.values(hook).values())
            row = f"| `{hook.name}` | {given} | {answered} | {self.text_kind(hook)} |"
            rows.append(row.replace(" | None`", " \\| None`"))
        return "\n".join(rows) + "\n"
