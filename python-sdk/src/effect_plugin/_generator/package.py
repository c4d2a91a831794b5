"""A contract's Python package: its files, as texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from .api import api_source, methods_of
from .described import ContractError, Described
from .hooks import Hooks, is_text
from .imports import imports_of
from .models import ModelsSource
from .reference import TypeLinks
from .reference_api import ApiPage
from .reference_hooks import HooksPage
from .reference_types import TypesPage
from .templates import (
    CONTRACT,
    DESCRIPTORS,
    HOOKS_IMPORTS,
    MADE_BY,
    MARK,
    OF_ENGINE,
    OWN,
    PLUGIN,
    PROJECT,
    README,
    REFERENCE,
    TESTING,
)

_IMPORTED_BY_API = ("builtins", "dataclass", "datetime", "timedelta", "_datetime", "_timedelta", "Any")


class Options(NamedTuple):
    """What a package is made of, beside the `.proto` files."""

    #: The package's name.
    package: str
    #: The services' full names.
    hooks: str
    api: str
    #: The variable by which a plugin knows that a host has started it, and its value.
    cookie: tuple[str, str]
    #: Fields of text by which a hook's response refuses.
    refusals: tuple[str, ...] = ("refusal",)
    protocol_version: int = 1
    #: Of the SDK that the package needs at least.
    sdk_version: str = "0.1.0"


class Package:
    """A contract's package. Raises ContractError for a contract of which none can be made."""

    def __init__(self, files: Any, options: Options) -> None:
        """`files` are a FileDescriptorSet, as protoc makes it."""
        self._files = files
        self._options = options
        contract = Described(files.file, [options.hooks, options.api], options.refusals)
        self._models = ModelsSource(contract)
        self._models.made_by = MADE_BY
        self._hooks = Hooks(contract, options.hooks)
        self._methods = methods_of(contract, options.api)
        if options.hooks == options.api:
            raise ContractError(
                f"{options.hooks} can't be both: hooks are a service of the plugin, the API of the host"
            )
        self._check_refusals(contract)

    def _check_refusals(self, contract: Described) -> None:
        fields = [field for rpc in self._hooks.rpcs() for field in contract.message_of(rpc.output_type).field]
        texts = {field.name for field in fields if is_text(field)}
        for name in self._options.refusals:
            if name not in texts and name != "refusal":
                raise ContractError(f"no hook's response has a field {name} that is one text, by which it could refuse")

    def modules(self) -> dict[str, str]:
        """The package's modules by their files' names."""
        options = self._options
        engine = "\n".join(f"    {name}," for name in OF_ENGINE)
        own = "\n".join(f"from .{module} import {', '.join(names)}" for module, names in OWN.items())
        exported = sorted([*OF_ENGINE, "HTTPRequestContext", *(name for names in OWN.values() for name in names)])
        listed = "\n".join(f'    "{name}",' for name in exported)
        key, value = options.cookie
        return {
            "__init__.py": f'"""Plugins in Python for hosts of {options.hooks}. {MADE_BY}"""\n\n'
            f"from effect_plugin import (\n{engine}\n)\nfrom effect_plugin.http import HTTPRequestContext\n\n"
            f"{own}\n\n__all__ = [\n{listed}\n]\n",
            "_api.py": self._api(),
            "_contract.py": CONTRACT.format(
                made_by=MADE_BY,
                hooks=options.hooks,
                api=options.api,
                cookie_key=_literal(key),
                cookie_value=_literal(value),
                refusals=f"({', '.join(map(_literal, options.refusals))},)",
                protocol_version=options.protocol_version,
            ),
            "_descriptors.py": DESCRIPTORS,
            "_hooks.py": self._hooks_module(),
            "_plugin.py": PLUGIN,
            "testing.py": TESTING,
            "types.py": self._models.source(),
        }

    def _hooks_module(self) -> str:
        source = self._hooks.source(HOOKS_IMPORTS, MADE_BY)
        more = imports_of(source, "datetime", "timedelta")
        return source.replace(
            "from enum import Enum\n", f"{more}\nfrom enum import Enum\n" if more else "from enum import Enum\n", 1
        )

    def _api(self) -> str:
        source = api_source(self._methods, "")
        head = '# mypy: disable-error-code="no-any-return"\n'
        head += f'"""The methods of the host API. {MADE_BY}"""\n\nfrom __future__ import annotations\n\n'
        imports = imports_of(source, *_IMPORTED_BY_API)
        return f"{head}{imports}\n\nfrom .types import *\n{source}"

    def descriptors(self) -> bytes:
        """The contract's messages and services, without their comments."""
        part = type(self._files)()
        part.CopyFrom(self._files)
        for file in part.file:
            file.ClearField("source_code_info")
        return bytes(part.SerializeToString())

    def project(self) -> dict[str, str]:
        """The files beside the package, which are written once."""
        options = self._options
        hook, arguments = next(iter(self._hooks.signatures_by_name().items()), ("OnActivate", []))
        named = {
            "distribution": options.package.replace("_", "-"),
            "package": options.package,
            "hooks": options.hooks,
            "version": options.sdk_version,
            "hook": hook,
            "arguments": "".join(f", {argument}" for argument in arguments),
        }
        return {"pyproject.toml": PROJECT.format(**named), "README.md": README.format(**named)}

    def reference(self) -> dict[str, str]:
        """The pages for plugin authors by their files' names."""
        options, contract = self._options, self._hooks.contract
        types = TypeLinks(contract)
        pages = {
            "api.md": ApiPage(self._methods, types, options.api, contract.comments[options.api]),
            "hooks.md": HooksPage(self._hooks, types, contract.comments[options.hooks]),
            "types.md": TypesPage(self._models, types, options.package),
        }
        index = REFERENCE.format(made_by=MADE_BY, package=options.package, hooks=options.hooks)
        return {"README.md": index, **{name: page.source() for name, page in pages.items()}}

    def write(self, output: Path, reference: Path | None = None) -> list[Path]:
        """Writes the project into a folder, and answers the files. Of a project that is there only the package changes.

        The pages for plugin authors are written into the folder `reference`, if there is one. Raises ContractError, and
        writes nothing, where the package's folder, or a page's file, is something that was not generated.
        """
        folder = output / self._options.package
        initial = folder / "__init__.py"
        if folder.exists() and not _is_generated(initial):
            raise ContractError(f"{folder} is there, and holds something that was not generated; name another folder")
        pages = {reference / name: text for name, text in self.reference().items()} if reference else {}
        for page in pages:
            if page.exists() and not _is_generated(page):
                raise ContractError(f"{page} is there, and was not generated; name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, text in self.modules().items():
            written.append(folder / name)
            written[-1].write_text(text, "utf-8")
        written += [folder / "descriptors.binpb", folder / "py.typed"]
        written[-2].write_bytes(self.descriptors())
        written[-1].touch()
        for page, text in pages.items():
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, "utf-8")
            written.append(page)
        for name, text in self.project().items():
            if not (output / name).exists():
                written.append(output / name)
                written[-1].write_text(text, "utf-8")
        return written


def _is_generated(file: Path) -> bool:
    return file.is_file() and MARK in file.read_text("utf-8", "replace")


def _literal(text: str) -> str:
    return repr(text) if '"' in text or "\\" in text else f'"{text}"'
