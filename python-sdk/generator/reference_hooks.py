"""The reference page of the hooks."""

from __future__ import annotations

from typing import Any

from .contract import HOOKS, MattermostContract
from .mattermost_hooks import MattermostHooks
from .reference import NOTE, Host, code, overview, type_links

HEAD = f"""{NOTE}

# Hooks

A hook is a method of your plugin that the host calls. `@hook(HookName.OnActivate)` above a method makes it the
handler of `OnActivate`. The method may have any name that does not begin with an underscore, and may be `def` or
`async def`. Its arguments are given in this order; what they are called is up to you.
[python-sdk.md](../python-sdk.md#hooks) has the rules for results, deadlines and exceptions.

- **Decides**: plugins are asked one after the other, in the order of their ids, each about what the one before made
  of the matter; the first refusal ends it. None says nothing. Whether a plugin that fails is passed over or refuses
  is the operator's to say ([hooks.md](../hooks.md#when-a-plugin-fails)).
- **Is told**: what has happened, in the background and in order. Nothing that the handler returns changes anything,
  and what it raises is logged.
- **Answers**: each plugin that is asked answers for itself.

The first paragraph of each is the contract's own, whose words for what a handler returns are those of its messages: a
reason or an error is a text that the handler returns, and what is set in place of the original is a value.

Calls of `plugin-supervisor serve` are marked; a backend of your own calls what it wants to.
"""


def _kind(hook: Any, host: Host) -> str:
    if hook.name in host.deciding:
        return "decides"
    return "is told" if hook.name in host.notifications else "answers"


def _results(contract: MattermostContract, hook: Any, kind: str) -> str:
    """What a handler may return, in words."""
    if hook.name == "ServeHTTP":
        return "the answer is what it writes, and it returns nothing"
    may = ["None"]
    if found := MattermostHooks(contract).values(hook):
        may.append(f"a value: {' and '.join(f'`{value}`' for value in found)}")
    if text := MattermostHooks(contract).text_kind(hook):
        means = {"refuses": "refuses and says why", "fails": "is a failure", "answers": "is shown to the user"}
        may.append(f"a text, which {means[text]}")
    if len(may) > 1:
        return f"may return {', '.join(may[:-1])} or {may[-1]}"
    return "what it returns counts for nothing"


def _entry(contract: MattermostContract, hook: Any, host: Host) -> str:
    arguments, accepted = MattermostHooks(contract).handler(hook)
    given = ["self", *(f"{name}: {kind}" for name, kind in arguments.items())]
    kind = _kind(hook, host)
    lines = [f"### {hook.name}\n", f"{contract.comments[f'{HOOKS}.{hook.name}']}\n"]
    returns = "None" if accepted == "object" else accepted
    lines.append(code(f"@hook(HookName.{hook.name})\ndef handler", given, returns))
    request = hook.input_type.rsplit(".", 1)[1]
    comments = {name: contract.comments.get(f"{request}.{name}", "") for name in arguments}
    lines += [f"- `{name}`: {comment}" for name, comment in comments.items() if comment]
    lines.append(f"- {kind}; {_results(contract, hook, kind)}")
    called = hook.name in host.called
    lines.append(f"- {'called' if called else 'not called'} by `plugin-supervisor serve`\n")
    if types := type_links(contract, [*arguments.values(), accepted]):
        lines.append(types)
    return "\n".join(lines)


def hooks_page(contract: MattermostContract, host: Host) -> str:
    """The page of all hooks, by the contract's headings."""
    sections: dict[str, list[Any]] = {}
    for hook in MattermostHooks(contract).rpcs():
        sections.setdefault(contract.sections[f"{HOOKS}.{hook.name}"], []).append(hook)
    columns = ("called by `serve`", "elsewhere only")
    out = [HEAD, *overview(columns, sections, lambda hook: str(hook.name), lambda hook: hook.name in host.called)]
    for section, members in sections.items():
        out.append(f"## {section}\n")
        out += [_entry(contract, hook, host) for hook in members]
    return "\n".join(out)
