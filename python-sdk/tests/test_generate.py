"""The command that makes a contract's package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from effect_plugin import generate

from .own_contracts import OwnContracts, generated
from .own_contracts import own_contracts as own_contracts

SOURCE = Path(__file__).parents[1] / "src"

FINE = """
syntax = "proto3";
package small.v1;
service Hooks { rpc Told(ToldRequest) returns (ToldResponse); }
service Api { rpc Ask(AskRequest) returns (AskResponse); }
message ToldRequest {}
message ToldResponse { string refusal = 1; string reason = 2; }
message AskRequest { string what = 1; }
message AskResponse { string said = 1; }
"""

SERVICES = ["--hooks", "small.v1.Hooks", "--api", "small.v1.Api"]


def run(proto: Path, output: Path, *more: str) -> int:
    """Runs the command; what is given twice counts as it was given last."""
    arguments = ["--proto", str(proto), *SERVICES, "--cookie", "SMALL=1", "--package", "small_plugin"]
    return generate.main([*arguments, "--output", str(output), *more])


def in_a_file(folder: Path, text: str) -> Path:
    file = folder / "small.proto"
    file.write_text(text)
    return file


def changed(old: str, new: str) -> str:
    assert old in FINE
    return FINE.replace(old, new)


@pytest.mark.parametrize(
    ("proto", "arguments", "said"),
    [
        (changed("service Hooks {", "service Hooks"), [], 'small.proto:4:15: Expected "{".'),
        (
            FINE,
            ["--hooks", "small.v1.Hook"],
            "there is no service small.v1.Hook in these .proto files; there is small.v1.Api, small.v1.Hooks",
        ),
        (FINE, ["--api", "small.v1.Hooks"], "small.v1.Hooks can't be both"),
        (FINE, ["--cookie", "SMALL"], "--cookie SMALL: it is the name of a variable and its value"),
        (
            FINE,
            ["--package", "small-plugin"],
            "--package small-plugin: a package of yours has a name that Python can import",
        ),
        (FINE, ["--package", "class"], "--package class: "),
        (FINE, ["--package", "effect_plugin"], "--package effect_plugin: "),
        (FINE, ["--refusal", "reasons"], "no hook's response has a field reasons that is one text"),
        (
            changed("returns (ToldResponse)", "returns (stream ToldResponse)"),
            [],
            "small.v1.Hooks.Told streams; a hook takes one message and answers one",
        ),
        (
            changed("(AskRequest)", "(stream AskRequest)"),
            [],
            "small.v1.Api.Ask streams; the methods of a host API take one message",
        ),
        (
            changed("rpc Told(", "rpc OnActivate("),
            [],
            "small.v1.Hooks.OnActivate is what every contract has without declaring it",
        ),
        (
            changed("rpc Ask(", "rpc ask(AskRequest) returns (AskResponse); rpc Ask("),
            [],
            "small.v1.Api.ask and Ask would both be ask() in Python; rename one",
        ),
        (
            changed(
                "message ToldRequest {}",
                "message ToldRequest { A.B one = 1; AB two = 2; } message A { message B {} } message AB {}",
            ),
            [],
            # The second gets its package's name, and the third would get the same.
            "",
        ),
        (
            FINE.replace('syntax = "proto3";', 'syntax = "proto2";').replace("string", "optional string"),
            [],
            "is in a file of proto2; a contract is written in proto3",
        ),
        (
            changed("(ToldRequest)", "(google.protobuf.Timestamp)").replace(
                "package", 'import "google/protobuf/timestamp.proto";\npackage'
            ),
            [],
            "google.protobuf.Timestamp can't be what an rpc takes or answers",
        ),
    ],
)
def test_what_can_t_be_generated(
    proto: str, arguments: list[str], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run(in_a_file(tmp_path, proto), tmp_path / "made", *arguments)
    errors = capfd.readouterr().err
    if not said:
        assert (code, errors) == (0, "")
        return
    assert code == 1
    assert errors.startswith("effect-plugin-generate: ") and said in errors
    assert not (tmp_path / "made").exists()


def test_paths_that_are_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nothing.proto", tmp_path / "made") == 1
    assert f"there is no {tmp_path}/nothing.proto" in capfd.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", tmp_path / "made") == 1
    assert f"there is no .proto file in {tmp_path}/empty" in capfd.readouterr().err


def test_an_import_from_elsewhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "else/where").mkdir(parents=True)
    (tmp_path / "else/where/shared.proto").write_text(
        'syntax = "proto3"; package shared; message Shared { string a = 1; }'
    )
    text = changed("string what = 1;", "shared.Shared what = 1;").replace(
        "package small", 'import "where/shared.proto";\npackage small'
    )
    (tmp_path / "own").mkdir()
    proto = in_a_file(tmp_path / "own", text)
    assert run(proto, tmp_path / "made") == 1
    assert "where/shared.proto: File not found" in capfd.readouterr().err
    assert run(proto, tmp_path / "made", "--include", str(tmp_path / "else")) == 0
    assert "class Shared(Model):" in (tmp_path / "made/small_plugin/types.py").read_text()


def test_what_is_there_already(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    proto, output = in_a_file(tmp_path, FINE), tmp_path / "made"
    (output / "small_plugin").mkdir(parents=True)
    (output / "small_plugin/__init__.py").write_text("mine = 1\n")
    assert run(proto, output) == 1
    assert "holds something that was not generated; name another folder" in capfd.readouterr().err
    (output / "small_plugin/__init__.py").unlink()
    (output / "small_plugin").rmdir()
    assert run(proto, output) == 0
    project = output / "pyproject.toml"
    project.write_text(project.read_text().replace("0.1.0", "2.0.0"))
    in_a_file(tmp_path, changed("rpc Ask(", "rpc Ask2(AskRequest) returns (AskResponse); rpc Ask("))
    assert run(proto, output) == 0
    assert "2.0.0" in project.read_text()
    assert "def ask2(" in (output / "small_plugin/_api.py").read_text()


def test_services_of_one_name_without_hooks(tmp_path: Path) -> None:
    apart = 'syntax = "proto3"; package other.v1; import "google/protobuf/descriptor.proto"; service Hooks {}'
    (tmp_path / "other.proto").write_text(
        apart
        + "extend google.protobuf.FieldOptions { string about = 50000; } message A { string b = 1 [(about) = 'c']; }"
    )
    in_a_file(tmp_path, changed("service Api", "service Hooks2 {} service Api"))
    services = ["--hooks", "other.v1.Hooks", "--api", "small.v1.Hooks"]
    assert run(tmp_path, tmp_path / "made", *services) == 0
    assert "HookName.OnActivate" in (tmp_path / "made/README.md").read_text()
    assert "def told(self)" in (tmp_path / "made/small_plugin/_api.py").read_text()


def test_two_refusals(tmp_path: Path) -> None:
    assert run(in_a_file(tmp_path, FINE), tmp_path, "--refusal", "reason", "refusal", "--protocol-version", "3") == 0
    assert (
        'refusals=("reason", "refusal",),\n    protocol_version=3,'
        in (tmp_path / "small_plugin/_contract.py").read_text()
    )


def test_without_protoc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "grpc_tools", None)
    assert run(in_a_file(tmp_path, FINE), tmp_path / "made") == 1
    assert "pip install 'effect-plugin-supervisor-sdk[generate]'" in capfd.readouterr().err


def test_the_command_as_a_program(tmp_path: Path) -> None:
    proto = in_a_file(tmp_path, FINE.replace("small.v1.Hooks", "x"))
    arguments = ["--proto", str(proto), *SERVICES, "--cookie", "SMALL=1", "--package", "small_plugin"]
    command = [sys.executable, "-m", "effect_plugin.generate", *arguments, "--output", str(tmp_path / "made")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"12 files written to {tmp_path}/made: pip install {tmp_path}/made\n"


def test_the_package_can_be_installed(tmp_path: Path) -> None:
    project = generated(tmp_path / "project", "billing_plugin")
    program = "from setuptools.build_meta import build_wheel; print(); print(build_wheel('..'))"
    built = subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(tmp_path / built.stdout.splitlines()[-1]) as archive:
        names = {name for name in archive.namelist() if name.startswith("billing_plugin/")}
    assert names == {f"billing_plugin/{file.name}" for file in (project / "billing_plugin").iterdir()}


RIGHT = """
from __future__ import annotations

from typing import Any

from billing_plugin import HookName, HTTPRequest, HTTPRequestContext, HTTPResponseWriter, Plugin, Router, hook, include
from billing_plugin.testing import StartPlugin
from billing_plugin.types import Customer, Invoice


class Postage(Router):
    plugin: Taxes

    @hook(HookName.PostageFor)
    async def postage(self, invoice: Invoice, country: str) -> int:
        return len((await self.async_api.get_customer(invoice.customer_id)).name)


class Taxes(Plugin):
    postage = include(Postage)

    @hook(HookName.InvoiceWillBeSent)
    def check(self, invoice: Invoice) -> str | Invoice | None:
        customer: Customer = self.api.get_customer(invoice.customer_id)
        if customer.blocked:
            return "blocked"
        found = self.api.list_customers(after="a", limit=1)
        names: list[str] = [each.name for each in found.customers[: found.count]]
        invoice.note = ", ".join(names)
        return invoice

    @hook("InvoiceHasBeenPaid")
    async def paid(self, invoice: Invoice) -> None:
        await self.async_kv.set(invoice.id, invoice.cents)
        settings: dict[str, Any] = self.host.get_settings()
        assert settings

    @hook(HookName.ServeHTTP)
    def serve(self, ctx: HTTPRequestContext, writer: HTTPResponseWriter, request: HTTPRequest) -> None:
        writer.write(ctx.session_id)


def test_taxes(plugin_host: StartPlugin) -> None:
    host = plugin_host(Taxes)
    host.api.answer("get_customer", Customer(blocked=True))
    assert host.plugin.postage.plugin is host.plugin
"""

WRONG = """
from __future__ import annotations

from billing_plugin import HookName, Plugin, hook
from billing_plugin.types import Customer, Invoice


class Wrong(Plugin):
    @hook(HookName.InvoiceWillBeSent)  # wrong
    def takes_another(self, invoice: Customer) -> None: ...

    @hook(HookName.PostageFor)  # wrong
    def answers_another(self, invoice: Invoice, country: str) -> str:
        return country

    @hook(HookName.PostageFor)  # wrong
    def takes_too_little(self, invoice: Invoice) -> int:
        return 1

    @hook("InvoiceWasSent")  # wrong
    def there_is_none(self, invoice: Invoice) -> None: ...

    def calls(self) -> None:
        self.api.get_customer(customer=1)  # wrong
        self.api.get_nobody()  # wrong
        self.api.get_customer("a").nickname  # wrong
        Invoice(euros=1)  # wrong
"""


#: The type checker of the repository's own checks, where those are installed.
PYRIGHT = Path(__file__).parents[2] / "node_modules/.bin/pyright"


def errors_of(said: str) -> list[tuple[str, int]]:
    """The files and lines in which a type checker sees an error."""
    found = re.findall(r"([\w.]+\.py):(\d+):(?:\d+)?.*error", said)
    return sorted({(file, int(line)) for file, line in found})


@pytest.fixture
def typed(tmp_path: Path) -> list[tuple[str, int]]:
    """Writes what is to be checked; answers what has to be found."""
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(WRONG)
    return [("wrong.py", number) for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# wrong")]


@pytest.mark.types
def test_types_by_mypy(tmp_path: Path, own_contracts: OwnContracts, typed: list[tuple[str, int]]) -> None:
    checked = [f"-p={name}" for name in ("billing_plugin", "tricky_plugin", "right", "wrong")]
    path = os.pathsep.join([*map(str, own_contracts.folders), str(SOURCE), str(tmp_path)])
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, *checked]
    environment = {**os.environ, "MYPYPATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert errors_of(done.stdout) == typed, done.stdout + done.stderr


@pytest.mark.types
@pytest.mark.skipif(not PYRIGHT.exists(), reason="pyright comes with the repository's checks")
def test_types_by_pyright(tmp_path: Path, own_contracts: OwnContracts, typed: list[tuple[str, int]]) -> None:
    config = {
        "extraPaths": [*map(str, own_contracts.folders), str(SOURCE)],
        "include": ["*.py", *map(str, own_contracts.folders)],
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    command = [str(PYRIGHT), "--pythonpath", sys.executable, "-p", str(tmp_path)]
    environment = {**os.environ, "PATH": f"{PYRIGHT.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert errors_of(done.stdout) == typed, done.stdout + done.stderr
