"""What users see of the package on PyPI."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

SDK = Path(__file__).parents[1]


def test_the_readme_has_no_links_into_the_repository(tmp_path: Path) -> None:
    """The page on PyPI is the wheel's metadata, where links to other files of the repository lead nowhere."""
    made = tmp_path / "sdk"
    shutil.copytree(SDK / "src", made / "src")
    shutil.copytree(SDK / "generator", made / "generator")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "generate.py"):
        shutil.copy(SDK / name, made)
    (made / "metadata").mkdir()
    program = "from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel('metadata')"
    subprocess.run([sys.executable, "-c", program], cwd=made, check=True, capture_output=True, timeout=120)
    (metadata,) = (made / "metadata").glob("*.dist-info/METADATA")
    head, _, readme = metadata.read_text("utf-8").partition("\n\n")
    assert "Description-Content-Type: text/markdown" in head
    assert readme.startswith("# mattermost_plugin\n")
    targets = re.findall(r"\]\(([^)]+)\)|^\[[^]]+\]: (\S+)|(?:href|src)=[\"']([^\"']+)", readme, re.MULTILINE)
    assert [target for found in targets for target in found if target and not re.match(r"https?://", target)] == []
