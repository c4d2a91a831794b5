"""The reference page of the host API."""

from __future__ import annotations

from collections.abc import Sequence

from effect_plugin._generator.api import Method
from effect_plugin._generator.reference import Section, TypeLinks
from effect_plugin._generator.reference_api import ApiPage

from .contract import API, MattermostContract
from .mattermost_api import methods_of
from .reference import NOTE, Host, overview

INTRO = """\
Each of these {count} methods is one of `self.api`, for `def` handlers, and, with the same arguments, one of
`self.async_api`, where it is awaited:

```pyi
user = self.api.get_user(user_id)
user = await self.async_api.get_user(user_id)
```

Arguments behind `*` are given by name. Ids are texts, times are milliseconds since 1970 (UTC), pages count from 0. A
method acts with full rights unless its text says otherwise: no permission of any user is checked.

What fails raises one of the [exceptions](sdk.md#exceptions), `NotFoundError` for an id that nobody has, say; a call
that takes longer than 30 seconds raises `UnavailableError`. Texts that nobody can send raise `ValueError`, and values
of another type `TypeError`, before anything is sent.

A host answers the methods it has. The embedded workspace of `plugin-supervisor serve` has {answered} of them; every
other one raises `PluginAPIError` there, with the `error_id` `api.plugin.not_implemented` and the `status_code` 501.
Which a backend of your own has is for it to say.
"""


class MattermostApiPage(ApiPage):
    """The page of all methods."""

    note = NOTE
    several = "a named tuple of"

    def __init__(self, contract: MattermostContract, types: TypeLinks, host: Host) -> None:
        super().__init__(methods_of(contract), types, API, "")
        self.host = host

    def intro(self) -> str:
        """What is said before the members."""
        return INTRO.format(count=len(self.methods), answered=len(self.host.answered))

    def overview(self, sections: Sequence[Section]) -> list[str]:
        """Links to all members."""
        columns = ("on the embedded workspace", "elsewhere only")
        return overview(columns, sections, lambda method: method.rpc.name in self.host.answered)

    def answers(self, method: Method) -> list[str]:
        """What is answered, beside the type."""
        is_optional = method.returns().endswith("| None")
        return ["- answers None in place of what is empty"] if is_optional else super().answers(method)

    def notes(self, method: Method) -> list[str]:
        """Paragraphs at the end of a method's entry."""
        return [] if method.rpc.name in self.host.answered else ["*Not on the embedded workspace.*\n"]
