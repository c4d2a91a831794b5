"""Builds the package with what is generated from the contract; a source distribution carries contract and generator."""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

sys.path.insert(0, str(Path(__file__).resolve().parent))
from generate import contract_folder, generate


class BuildWithGenerated(build_py):
    def run(self) -> None:
        # An editable install uses the source tree; any other build leaves the tree as it is.
        if self.editable_mode:
            generate()
        else:
            # What an earlier build has left there would be part of this one.
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            generate(Path(self.build_lib))


class SdistWithContract(sdist):
    def make_release_tree(self, base_dir: str, files: list) -> None:
        super().make_release_tree(base_dir, files)
        shutil.copytree(contract_folder(), Path(base_dir) / "proto", dirs_exist_ok=True)
        shutil.copy("generate.py", base_dir)
        shutil.copytree("generator", Path(base_dir) / "generator", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithGenerated, "sdist": SdistWithContract})
