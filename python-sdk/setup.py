"""Builds the package: the stubs of the contract are generated first, and a source distribution carries the contract."""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

sys.path.insert(0, str(Path(__file__).resolve().parent))
from generate import PROTO, generate


class BuildWithStubs(build_py):
    def run(self) -> None:
        # An editable install uses the source tree; any other build leaves the tree as it is.
        if self.editable_mode:
            generate()
        super().run()
        if not self.editable_mode:
            generate(Path(self.build_lib) / "mattermost_plugin" / "_generated")


class SdistWithContract(sdist):
    def make_release_tree(self, base_dir: str, files: list) -> None:
        super().make_release_tree(base_dir, files)
        shutil.copytree(PROTO, Path(base_dir) / "proto", dirs_exist_ok=True)
        shutil.copy("generate.py", base_dir)
        shutil.copytree("generator", Path(base_dir) / "generator", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithStubs, "sdist": SdistWithContract})
