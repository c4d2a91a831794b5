"""The reference page of the contract's types."""

from __future__ import annotations

from .contract import MattermostContract
from .mattermost_models import ALIASES, MattermostModels, enum_letters
from .reference import NOTE, anchor, cell, link, types_in

HEAD = f"""{NOTE}

# Types

All are in `mattermost_plugin.types`. Each is a dataclass that can be changed; every field has a default, and all may
be given by name: `Post(channel_id="c", message="hi")`. Where a default is `None`, None is what is not set; in what
the host sends, a field of another of these types reads as an empty one then, which is false.
[python-sdk.md](../python-sdk.md#types) tells more.

`Json` is JSON in bytes, as the contract carries it: `.json()` is what it says, and `Json(value)` makes it.
"""


def types_page(contract: MattermostContract) -> str:
    """The page of all types: enums, then dataclasses, in alphabetical order."""
    names = [*sorted(contract.enums), *sorted(contract.models)]
    out = [HEAD, ", ".join(link(name, f"#{anchor(name)}") for name in names) + "\n"]
    for name in sorted(contract.enums):
        out.append(f"## {name}\n\n{contract.comments[name]}\n\n| member | value |\n|---|---|")
        out += [f'| `{name}.{member}` | `"{letter}"` |' for member, letter in enum_letters(contract, name)]
        out.append("")
    for name in sorted(contract.models):
        out.append(f"## {name}\n")
        if comment := contract.comments[name]:
            out.append(f"{comment}\n")
        out += [f"Also called `{alias}`.\n" for alias, of in ALIASES.items() if of == name]
        fields = list(MattermostModels(contract).fields(name))
        if fields:
            out.append("| field | type | default | |\n|---|---|---|---|")
        for attribute, annotation, default, about in fields:
            shown = f"`{cell(annotation)}`"
            for used in types_in(contract, [annotation]):
                shown = f"[{shown}](#{anchor(used)})"
            made = {"field(default_factory=dict)": "{}", "field(default_factory=list)": "[]"}.get(default, default)
            out.append(f"| `{attribute}` | {shown} | `{made}` | {cell(about)} |")
        if fields:
            out.append("")
    return "\n".join(out)
