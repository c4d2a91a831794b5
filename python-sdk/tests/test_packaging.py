"""What is made of the source tree to be installed elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

SDK = Path(__file__).parent.parent

#: What is not part of the source tree.
MADE = shutil.ignore_patterns(".*", "__pycache__", "_generated", "*.egg-info", "build", "tests")


def build(kind: str, folder: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """Builds as pip does, with the tools of this environment; prints the file's name."""
    program = (
        f"import sys; from setuptools.build_meta import build_{kind} as b; name = b(sys.argv[1]); print(); print(name)"
    )
    return subprocess.run([sys.executable, "-c", program, str(output)], cwd=folder, capture_output=True, text=True)


def built(kind: str, folder: Path, output: Path) -> Path:
    done = build(kind, folder, output)
    assert done.returncode == 0, done.stderr
    return output / done.stdout.splitlines()[-1]


def test_a_wheel_by_way_of_a_source_distribution(tmp_path: Path) -> None:
    source = tmp_path / "repository/python-sdk"
    shutil.copytree(SDK, source, ignore=MADE)
    shutil.copytree(SDK.parent / "proto", tmp_path / "repository/proto")
    packed = built("sdist", source, tmp_path)
    # Somebody's own, which is none of ours.
    (tmp_path / "proto").mkdir()
    with tarfile.open(packed) as files:
        files.extractall(tmp_path)
    unpacked = tmp_path / packed.name[: -len(".tar.gz")]
    wheel = built("wheel", unpacked, tmp_path)
    assert (unpacked / "LICENSE").is_file() and (unpacked / "README.md").is_file()
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(installed)
    made = [f"_generated/{name}" for name in ("__init__.py", "api.py", "descriptors.binpb", "hooks.py", "models.py")]
    assert {f"mattermost_plugin/{name}" for name in ("py.typed", *made)} | {"effect_plugin_pytest.py"} <= {*names}
    made = [f"_generated/{name}" for name in ("__init__.py", "host.py", "descriptors.binpb", "models.py")]
    assert {f"effect_plugin/{name}" for name in ("py.typed", "_generator/package.py", *made)} <= {*names}
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert not (source / "src/mattermost_plugin/_generated").exists(), "the tree is left as it is"
    program = "import mattermost_plugin.testing as t; print(t.__file__)"
    said = subprocess.check_output([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(installed)})
    assert said.decode().startswith(str(installed))


def test_without_the_contract_there_is_nothing_to_build(tmp_path: Path) -> None:
    source = tmp_path / "python-sdk"
    shutil.copytree(SDK, source, ignore=MADE)
    for kind in ("sdist", "wheel"):
        done = build(kind, source, tmp_path)
        assert done.returncode != 0
        assert "lacks the contract's .proto files" in done.stderr


def test_the_readme_has_no_links_into_the_repository(tmp_path: Path) -> None:
    """The page on PyPI is the wheel's metadata, where links to other files of the repository lead nowhere."""
    made = tmp_path / "sdk"
    shutil.copytree(SDK, made, ignore=MADE)
    (made / "metadata").mkdir()
    program = "from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel('metadata')"
    subprocess.run([sys.executable, "-c", program], cwd=made, check=True, capture_output=True, timeout=120)
    (metadata,) = (made / "metadata").glob("*.dist-info/METADATA")
    head, _, readme = metadata.read_text("utf-8").partition("\n\n")
    assert "Description-Content-Type: text/markdown" in head
    assert readme.startswith("# mattermost_plugin\n")
    targets = re.findall(r"\]\(([^)]+)\)|^\[[^]]+\]: (\S+)|(?:href|src)=[\"']([^\"']+)", readme, re.MULTILINE)
    assert [target for found in targets for target in found if target and not re.match(r"https?://", target)] == []
