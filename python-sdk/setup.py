"""Builds the package: the stubs of the contract are generated first, and a source distribution carries the contract."""

import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

sys.path.insert(0, str(Path(__file__).resolve().parent))
from generate import PROTO, generate


class BuildWithStubs(build_py):
    def run(self) -> None:
        generate()
        self.distribution.packages = find_packages("src")
        self.finalize_options()
        super().run()


class SdistWithContract(sdist):
    def make_release_tree(self, base_dir: str, files: list) -> None:
        super().make_release_tree(base_dir, files)
        shutil.copytree(PROTO, Path(base_dir) / "proto", dirs_exist_ok=True)
        shutil.copy("generate.py", base_dir)


setup(cmdclass={"build_py": BuildWithStubs, "sdist": SdistWithContract})
