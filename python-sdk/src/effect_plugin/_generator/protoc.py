"""What protoc says of `.proto` files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .described import ContractError

_NO_PROTOC = "protoc is missing: pip install 'effect-plugin-supervisor-sdk[generate]'"


def described(sources: Iterable[Path], include: Sequence[Path] = ()) -> Any:
    """Files, or all in folders, and what they import, as protoc describes them (`FileDescriptorSet`), with comments.

    Imports are looked for in the folders, in those of single files, in `include`, and among protobuf's own. Raises
    ContractError for what can't be read, with protoc's own words.
    """
    try:
        import grpc_tools
        from grpc_tools import protoc
    except ImportError as error:
        raise ContractError(_NO_PROTOC) from error
    given = list(sources)
    for source in given:
        if not source.exists():
            raise ContractError(f"there is no {source}")
    roots = [*include, *(source if source.is_dir() else source.parent for source in given)]
    roots = list(dict.fromkeys(root.resolve() for root in roots))
    files = [file.resolve() for source in given for file in (_all_in(source) if source.is_dir() else [source])]
    if not files:
        raise ContractError(f"there is no .proto file in {', '.join(map(str, given))}")
    with tempfile.TemporaryDirectory() as folder:
        written, said = Path(folder, "descriptors"), Path(folder, "said")
        arguments = [
            "protoc",
            *(f"-I{root}" for root in roots),
            f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
            f"--descriptor_set_out={written}",
            "--include_imports",
            "--include_source_info",
            *map(str, dict.fromkeys(files)),
        ]
        with _stderr_in(said):
            failed = protoc.main(arguments)
        if failed:
            raise ContractError(f"protoc can't read these .proto files:\n{said.read_text('utf-8', 'replace').rstrip()}")
        from google.protobuf import descriptor_pb2

        return descriptor_pb2.FileDescriptorSet.FromString(written.read_bytes())


def _all_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.proto"))


@contextlib.contextmanager
def _stderr_in(file: Path) -> Any:
    """Has what protoc writes, which is no Python, arrive in a file."""
    before = os.dup(2)
    target = os.open(file, os.O_WRONLY | os.O_CREAT)
    os.dup2(target, 2)
    os.close(target)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
