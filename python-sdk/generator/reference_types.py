"""The reference page of the contract's types."""

from __future__ import annotations

from collections.abc import Iterator

from effect_plugin._generator.reference import TypeLinks
from effect_plugin._generator.reference_types import TypesPage

from .contract import MattermostContract
from .mattermost_models import MattermostModels, enum_letters
from .reference import NOTE

INTRO = """\
All are in `mattermost_plugin.types`. Each is a dataclass that can be changed; every field has a default, and all may
be given by name: `Post(channel_id="c", message="hi")`. Where a default is `None`, None is what is not set; in what
the host sends, a field of another of these types reads as an empty one then, which is false.
[python-sdk.md](../python-sdk.md#types) tells more.

`Json` is JSON in bytes, as the contract carries it: `.json()` is what it says, and `Json(value)` makes it.
"""


class MattermostTypesPage(TypesPage):
    """The page of all types."""

    note = NOTE

    def __init__(self, contract: MattermostContract, types: TypeLinks) -> None:
        super().__init__(MattermostModels(contract), types, "mattermost_plugin")
        self.contract = contract

    def intro(self) -> str:
        """What is said before the members."""
        return INTRO

    def enum_members(self, name: str) -> Iterator[tuple[str, str]]:
        """An enum's members, and their values as Python writes them."""
        yield from ((member, f'"{letter}"') for member, letter in enum_letters(self.contract, name))
