"""Packages of contracts of our own, generated once for the tests that need them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from effect_plugin import generate

PROTO = Path(__file__).parent / "contracts"

COOKIE = ("BILLING_PLUGIN", "pays")


class OwnContracts(NamedTuple):
    """The packages, and the folders that they are in."""

    billing: ModuleType
    tricky: ModuleType
    folders: list[Path]


def generated(output: Path, package: str, *more: str) -> Path:
    """Generates the package of one of the contracts."""
    name = package.removesuffix("_plugin")
    services = {
        "billing": ("billing.v1.BillingHooks", "billing.v1.BillingApi"),
        "tricky": ("tricky.v1.Hooks", "tricky.v1.Api"),
    }
    hooks, api = services[name]
    arguments = ["--hooks", hooks, "--api", api, "--cookie", "=".join(COOKIE), "--package", package, *more]
    assert generate.main(["--proto", str(PROTO), *arguments, "--output", str(output)]) == 0
    return output


@pytest.fixture(scope="session")
def own_contracts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnContracts]:
    """The packages, imported."""
    folders = [generated(tmp_path_factory.mktemp(name), f"{name}_plugin") for name in ("billing", "tricky")]
    sys.path[:0] = map(str, folders)
    yield OwnContracts(importlib.import_module("billing_plugin"), importlib.import_module("tricky_plugin"), folders)
    for folder in folders:
        sys.path.remove(str(folder))
