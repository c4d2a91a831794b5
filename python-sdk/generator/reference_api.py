"""The reference page of the host API."""

from __future__ import annotations

from .contract import API, MattermostContract
from .mattermost_api import MattermostMethod, methods_of
from .reference import NOTE, Host, code, overview, type_links

HEAD = f"""{NOTE}

# The host API

Each of these {{count}} methods is one of `self.api`, for `def` handlers, and, with the same arguments, one of
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

A host answers the methods it has. The embedded workspace of `plugin-supervisor serve` has {{answered}} of them; every
other one raises `PluginAPIError` there, with the `error_id` `api.plugin.not_implemented` and the `status_code` 501.
Which a backend of your own has is for it to say.
"""


def _entry(contract: MattermostContract, method: MattermostMethod, host: Host) -> str:
    lines = [f"### {method.name}\n", f"{contract.comments[f'{API}.{method.rpc.name}']}\n"]
    lines.append(code(f"def {method.name}", method.parameters(), method.returns()))
    fields = method.result_fields()
    lines += [f"- {doc}" for doc in method.docs]
    if len(fields) > 1 and method.returns().endswith("Result"):
        lines.append(f"- answers a named tuple of {', '.join(f'`{name}: {kind}`' for name, kind, _ in fields)}")
    is_optional = method.returns().endswith("| None")
    for name, _, comment in fields:
        if comment and not is_optional:
            lines.append(f"- answers{f' `{name}`' if len(fields) > 1 else ''}: {comment}")
    if is_optional:
        lines.append("- answers None in place of what is empty")
    if lines[-1].startswith("- "):
        lines.append("")
    named = [method.returns(), *method.parameters(), *(kind for _, kind, _ in fields)]
    if types := type_links(contract, named):
        lines.append(types)
    if method.rpc.name not in host.answered:
        lines.append("*Not on the embedded workspace.*\n")
    return "\n".join(lines)


def api_page(contract: MattermostContract, host: Host) -> str:
    """The page of all methods, by the contract's headings."""
    sections: dict[str, list[MattermostMethod]] = {}
    for method in methods_of(contract):
        sections.setdefault(contract.sections[f"{API}.{method.rpc.name}"], []).append(method)
    count = sum(map(len, sections.values()))
    out = [HEAD.format(count=count, answered=len(host.answered))]
    columns = ("on the embedded workspace", "elsewhere only")
    out += overview(columns, sections, lambda method: method.name, lambda method: method.rpc.name in host.answered)
    for section, methods in sections.items():
        out.append(f"## {section}\n")
        out += [_entry(contract, method, host) for method in methods]
    return "\n".join(out)
