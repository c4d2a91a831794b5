"""Generates what is one per message or rpc from the `.proto` files: descriptors, models, clients. Run by each build."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"
sys.path.insert(0, str(HERE))

if "effect_plugin" not in sys.modules:
    # The engine leans on what is generated here; its generator leans on nothing of it.
    engine = ModuleType("effect_plugin")
    engine.__path__ = [str(SOURCES / "effect_plugin")]
    sys.modules["effect_plugin"] = engine

from effect_plugin._generator.api import api_source, methods_of  # noqa: E402
from effect_plugin._generator.described import ContractError, Described  # noqa: E402
from effect_plugin._generator.models import ModelsSource  # noqa: E402
from effect_plugin._generator.protoc import described as described_by_protoc  # noqa: E402
from generator import mattermost_api  # noqa: E402
from generator.contract import MattermostContract  # noqa: E402
from generator.mattermost_hooks import IMPORTS as HOOKS_IMPORTS  # noqa: E402
from generator.mattermost_hooks import TABLE_HEAD, MattermostHooks  # noqa: E402
from generator.mattermost_models import MattermostModels  # noqa: E402

DOCS = HERE.parent / "docs" / "python-sdk.md"

# A source distribution carries the contract along; in the repository it lies beside the SDK.
PROTO_FOLDERS = (HERE / "proto", HERE.parent / "proto")

MADE_BY = "Generated: see generate.py."

#: The services of every contract, which the engine speaks.
ENGINE = "plugin_supervisor.v1."
HOST_SERVICES = ("HostKeyValues", "HostSettings", "HostLog", "HostIdentity")

HOST_HEAD = f'''# mypy: disable-error-code="no-any-return"
"""The services that every host has beside the API of its contract. {MADE_BY}"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .models import *
'''


def contract_folder() -> Path:
    """Where the contract's `.proto` files are; ends the process where they are not."""
    for folder in PROTO_FOLDERS:
        if folder.is_dir():
            return folder
    sys.exit(
        f"{HERE} lacks the contract's .proto files, which are in {PROTO_FOLDERS[1]} in the repository: "
        "build from there, or from a source distribution"
    )


def described() -> Any:
    """The contracts as protoc describes them (`FileDescriptorSet`), with their comments."""
    try:
        return described_by_protoc([contract_folder()])
    except ContractError as error:
        sys.exit(str(error))


class Engine(Described):
    """The engine's own services."""

    reserved = frozenset()


class EngineModels(ModelsSource):
    """Writes the types of the engine's own services."""

    made_by = MADE_BY
    own_imports = (
        "from .._descriptors import ENGINE as DESCRIPTORS\nfrom .._models import Model, contract_enum, model\n"
    )


def engine_modules(files: Any) -> dict[str, str]:
    """What is generated for the engine, by file."""
    services = [f"{ENGINE}{name}" for name in ("PluginLifecycle", "PluginHttp", "PluginOffers", *HOST_SERVICES)]
    engine = Engine(files, services)
    methods = [method for name in HOST_SERVICES for method in methods_of(engine, f"{ENGINE}{name}")]
    return {"models.py": EngineModels(engine).source(), "host.py": api_source(methods, HOST_HEAD)}


def mattermost_modules(files: Any) -> dict[str, str]:
    """What is generated for Mattermost's contract, by file."""
    contract = MattermostContract(files)
    return {
        "models.py": MattermostModels(contract).source(),
        "api.py": mattermost_api.source(contract),
        "hooks.py": MattermostHooks(contract).source(HOOKS_IMPORTS, MADE_BY),
    }


def generate(sources: Path = SOURCES) -> None:
    """Writes descriptors, models and clients into the packages in `sources`."""
    files = described()
    made = {"effect_plugin": engine_modules(files.file), "mattermost_plugin": mattermost_modules(files.file)}
    for package, modules in made.items():
        output = sources / package / "_generated"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        (output / "__init__.py").touch()
        (output / "descriptors.binpb").write_bytes(_part(files, package == "mattermost_plugin"))
        for name, text in modules.items():
            (output / name).write_text(text, "utf-8")


def _part(files: Any, is_mattermost: bool) -> bytes:
    """The descriptors of one package, without the comments: Mattermost's contract, or what the engine speaks."""
    part = type(files)()
    for file in files.file:
        if file.package.startswith("google.") or file.package.startswith("mattermost.") == is_mattermost:
            part.file.add().CopyFrom(file)
            part.file[-1].ClearField("source_code_info")
    return bytes(part.SerializeToString())


def generate_docs() -> None:
    """Brings the table of hooks in the documents up to date."""
    before, _, rest = DOCS.read_text("utf-8").partition(TABLE_HEAD)
    _, _, after = rest.partition("\n\n")
    table = MattermostHooks(MattermostContract(described().file)).table()
    DOCS.write_text(before + table + "\n" + after, "utf-8")


if __name__ == "__main__":
    generate()
    generate_docs()
