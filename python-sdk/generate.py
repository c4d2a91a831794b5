"""Generates what is one per message or rpc from the `.proto` files: descriptors, models, clients. Run by each build."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from generator.api import api_source  # noqa: E402
from generator.contract import Contract  # noqa: E402
from generator.hooks import TABLE_HEAD, hooks_source, hooks_table  # noqa: E402
from generator.models import models_source  # noqa: E402

OUTPUT = HERE / "src" / "mattermost_plugin" / "_generated"
DOCS = HERE.parent / "docs" / "python-sdk.md"

# A source distribution carries the contract along; in the repository it lies beside the SDK.
PROTO_FOLDERS = (HERE / "proto", HERE.parent / "proto")


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
    """The contract as protoc describes it (`FileDescriptorSet`), with its comments."""
    import grpc_tools
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    proto = contract_folder()
    well_known = str(Path(grpc_tools.__file__).parent / "_proto")
    sources = sorted(str(file.relative_to(proto)) for file in proto.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "descriptors"
        flags = [f"--descriptor_set_out={written}", "--include_imports", "--include_source_info"]
        if protoc.main(["protoc", f"-I{proto}", f"-I{well_known}", *flags, *sources]) != 0:
            sys.exit("protoc failed; its messages are above")
        return descriptor_pb2.FileDescriptorSet.FromString(written.read_bytes())


def generate(output: Path = OUTPUT) -> None:
    """Writes descriptors, models and clients into `output`."""
    files = described()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    contract = Contract(files.file)
    (output / "models.py").write_text(models_source(contract), "utf-8")
    (output / "api.py").write_text(api_source(contract), "utf-8")
    (output / "hooks.py").write_text(hooks_source(contract), "utf-8")
    for file in files.file:
        file.ClearField("source_code_info")
    (output / "descriptors.binpb").write_bytes(files.SerializeToString())
    (output / "__init__.py").touch()


def generate_docs() -> None:
    """Brings the table of hooks in the documents up to date."""
    from google.protobuf import descriptor_pb2

    files = descriptor_pb2.FileDescriptorSet.FromString((OUTPUT / "descriptors.binpb").read_bytes())
    before, _, rest = DOCS.read_text("utf-8").partition(TABLE_HEAD)
    _, _, after = rest.partition("\n\n")
    DOCS.write_text(before + hooks_table(Contract(files.file)) + "\n" + after, "utf-8")


if __name__ == "__main__":
    generate()
    generate_docs()
