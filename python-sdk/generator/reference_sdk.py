"""The reference page of what the SDK exports beside hooks, host API and types: read off the SDK itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from effect_plugin._generator.reference import code

from .reference import NOTE

HEAD = f"""{NOTE}

# What the SDK exports
"""


def _text(of: Any) -> str:
    """A docstring in one paragraph each."""
    return "\n\n".join(" ".join(part.split()) for part in (inspect.getdoc(of) or "").split("\n\n"))


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
    annotated = parameter.annotation is not inspect.Parameter.empty
    # Named tuples have forward references.
    annotation = getattr(parameter.annotation, "__forward_arg__", parameter.annotation)
    shown = f"{stars}{parameter.name}{f': {annotation}' if annotated else ''}"
    if parameter.default is inspect.Parameter.empty:
        return shown
    default = repr(parameter.default).replace("'", '"')
    return f"{shown} = {default}" if annotated else f"{shown}={default}"


def _signature(function: Any, bound: bool) -> tuple[list[str], str]:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1 if bound else 0 :]
    written: list[str] = []
    for parameter in parameters:
        named = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        if named and not any(part.startswith("*") for part in written):
            written.append("*")
        written.append(_parameter(parameter))
    returns = signature.return_annotation
    return written, "None" if returns is inspect.Signature.empty else str(returns)


def _own_classes(kind: type) -> list[type]:
    """A class and its bases in the SDK, but for those with what the contract has."""
    return [
        base
        for base in kind.__mro__
        if base.__module__.startswith(("effect_plugin", "mattermost_plugin")) and "_generated" not in base.__module__
    ]


def _attributes(kind: type, seen: set[str]) -> Iterator[str]:
    """The attributes with a comment for readers, `#: ...`."""
    pattern = r"((?:^ +#: .*\n)+)^ +(?:self\.)?([a-z]\w*|[A-Z_]+)(?:: (.+?))?(?: = (.+))?$"
    for comment, name, annotation, value in re.findall(pattern, inspect.getsource(kind), re.MULTILINE):
        if not name.startswith("_") and name not in seen:
            seen.add(name)
            text = " ".join(comment.replace("#:", "").split())
            annotation = re.sub(r"ClassVar\[(.+)\]", r"\1", annotation)
            shown = f"{name}: {annotation}" if annotation else name
            literal = f" = {value}" if re.fullmatch(r"[\d.]+|\"\w*\"", value) else ""
            yield f"- `{shown}{literal}`: {text}"


def _members(kind: type) -> Iterator[str]:
    """A line for each public attribute, property and method."""
    seen: set[str] = set()
    for base in _own_classes(kind):
        yield from _attributes(base, seen)
        for name, member in vars(base).items():
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            if isinstance(member, property):
                returns = _signature(member.fget, bound=True)[1]
                yield f"- `{name}: {returns}`: {_text(member)}".replace("\n\n", " ")
                continue
            function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
            if not inspect.isfunction(function):
                continue
            parameters, returns = _signature(function, bound=not isinstance(member, staticmethod))
            head = "async " if inspect.iscoroutinefunction(function) else ""
            described = _text(function).replace("\n\n", " ")
            yield f"- `{head}{name}({', '.join(parameters)}) -> {returns}`: {described}"


def _class(name: str, kind: type) -> str:
    # A protocol says how it is called.
    call = vars(kind).get("__call__") if getattr(kind, "_is_protocol", False) else None
    parameters, _ = _signature(kind if call is None else call, bound=call is not None)
    block = code(f"class {name}", parameters, "").replace(" -> \n", "\n")
    members = "\n".join(_members(kind))
    return f"### {name}\n\n{block}\n{_text(kind)}\n{f'{chr(10)}{members}{chr(10)}' if members else ''}"


def _function(name: str, function: Any) -> str:
    parameters, returns = _signature(function, bound=False)
    head = "async def" if inspect.iscoroutinefunction(function) else "def"
    return f"### {name}\n\n{code(f'{head} {name}', parameters, returns)}\n{_text(function)}\n"


def _entries(exported: dict[str, Any]) -> str:
    return "\n".join(
        _class(name, value) if isinstance(value, type) else _function(name, value) for name, value in exported.items()
    )


def _exceptions(exported: dict[str, type]) -> str:
    """Exceptions with what they derive from; those of the host API with the statuses that they stand for."""
    from effect_plugin._exceptions import _BY_CODE
    from mattermost_plugin.exceptions import _BY_STATUS

    out = ["| | is a | HTTP status | gRPC status | |", "|---|---|---|---|---|"]
    for name, kind in exported.items():
        statuses = ", ".join(str(status) for status, of in _BY_STATUS.items() if of is kind)
        codes = ", ".join(f"`{code.name}`" for code, of in _BY_CODE.items() if of is kind)
        summary = _text(kind).split("\n\n")[0]
        out.append(f"| `{name}` | `{kind.__bases__[0].__name__}` | {statuses} | {codes} | {summary} |")
    out.append("\nAny other status is a plain `PluginAPIError`.\n")
    out += [
        _class(name, kind) for name, kind in exported.items() if _own_classes(kind)[0] is kind and "\n\n" in _text(kind)
    ]
    return "\n".join(out)


def sdk_page() -> str:
    """The page, by what is imported from where."""
    import mattermost_plugin
    import mattermost_plugin.store as store
    import mattermost_plugin.testing as testing
    import mattermost_plugin.web as web
    from mattermost_plugin.models import Model

    exported = {name: getattr(mattermost_plugin, name) for name in mattermost_plugin.__all__}
    functions = {name: value for name, value in exported.items() if inspect.isfunction(value)}
    constants = {name: value for name, value in exported.items() if isinstance(value, str) and name.isupper()}
    classes = {name: value for name, value in exported.items() if isinstance(value, type)}
    exceptions = {name: kind for name, kind in classes.items() if issubclass(kind, Exception)}
    others = {
        name: kind
        for name, kind in classes.items()
        if name not in exceptions and not issubclass(kind, Model) and name not in ("HookName", "Plugin")
    }
    elsewhere = {
        "Key-value store": (
            store,
            ["KeyValueStore", "AsyncKeyValueStore"],
            "`self.kv` and `self.async_kv` of a plugin.",
        ),
        "Web applications": (web, ["wsgi", "asgi"], "From `mattermost_plugin.web`."),
        "Tests": (
            testing,
            [name for name in testing.__all__ if callable(getattr(testing, name))],
            "From `mattermost_plugin.testing`; with pytest the fixture `plugin_host` is a `StartPlugin`.",
        ),
    }
    out = [HEAD, "From `mattermost_plugin`, unless said otherwise. [`HookName`](hooks.md) has the hooks' names, and"]
    out.append("[types.md](types.md) what `mattermost_plugin.types` has.\n")
    out.append("## The plugin\n\n" + _class("Plugin", exported["Plugin"]))
    out.append("## Decorators and functions\n\n" + _entries(functions))
    out.append("## Constants\n")
    out += [f"- `{name}` is `{value}`\n" for name, value in constants.items()]
    out.append("## Classes\n\n" + _entries(others))
    out.append("## Exceptions\n\n" + _exceptions(exceptions))
    for heading, (module, names, where) in elsewhere.items():
        out.append(f"## {heading}\n\n{where}\n\n" + _entries({name: getattr(module, name) for name in names}))
    # What the engine takes for every contract is this one's here.
    return re.sub(r"\bBasePlugin\b", "Plugin", "\n".join(out)).replace(" ClientContext", " PluginContext")
