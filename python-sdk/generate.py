"""Generates the Python stubs of the contract from the `.proto` files; part of every build of the package."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "src" / "mattermost_plugin" / "_generated"

# In the repository the contract lies beside the SDK; a source distribution carries it along.
PROTO = next(folder for folder in (HERE.parent / "proto", HERE / "proto") if folder.is_dir())

PACKAGE = "mattermost_plugin._generated"


def generate(output: Path = OUTPUT) -> None:
    """Writes the stubs, with their type declarations, into `output`."""
    import grpc_tools
    from grpc_tools import protoc

    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    well_known = str(Path(grpc_tools.__file__).parent / "_proto")
    files = sorted(str(file.relative_to(PROTO)) for file in PROTO.rglob("*.proto"))
    arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={output}", f"--pyi_out={output}", *files]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed; its messages are above")
    for folder in {output, *(file.parent for file in output.rglob("*.py"))}:
        while folder != output.parent:
            (folder / "__init__.py").touch()
            folder = folder.parent
    # protoc imports by the proto's own path. The stubs live inside our package, so that they can't clash with anybody
    # else's `mattermost`, `plugin` or `grpc` modules.
    for file in [*output.rglob("*.py"), *output.rglob("*.pyi")]:
        text = file.read_text()
        file.write_text(re.sub(r"^from mattermost\.", f"from {PACKAGE}.mattermost.", text, flags=re.MULTILINE))


if __name__ == "__main__":
    generate()
