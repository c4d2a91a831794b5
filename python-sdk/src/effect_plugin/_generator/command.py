"""The command that makes a contract's package."""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from .described import ContractError
from .package import Options, Package
from .protoc import described

_EPILOG = """\
for example:
  python -m effect_plugin.generate --proto proto --hooks billing.v1.BillingHooks --api billing.v1.BillingApi \\
    --cookie BILLING_PLUGIN=a-value-of-yours --package billing_plugin --output billing-plugin
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="effect-plugin-generate",
        description="Makes a Python package for the plugins of a contract, of the contract's .proto files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    required = parser.add_argument_group("required arguments")
    required.add_argument(
        "--proto",
        nargs="+",
        type=Path,
        required=True,
        metavar="PATH",
        help="the .proto files, or folders with them; imports are looked for in the folders, or those of the files",
    )
    required.add_argument("--hooks", required=True, metavar="SERVICE", help="what the host calls, by its full name")
    required.add_argument("--api", required=True, metavar="SERVICE", help="what plugins call, by its full name")
    required.add_argument(
        "--cookie", required=True, metavar="NAME=VALUE", help="the variable by which a plugin knows its host"
    )
    required.add_argument("--package", required=True, metavar="NAME", help="what plugins import")
    required.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where the project is written: FOLDER/NAME, pyproject.toml and README.md; of what is there already, only "
        "FOLDER/NAME is written anew",
    )
    parser.add_argument(
        "--include",
        nargs="+",
        type=Path,
        default=[],
        metavar="FOLDER",
        help="more folders in which imports are looked for",
    )
    parser.add_argument(
        "--refusal",
        nargs="+",
        default=["refusal"],
        metavar="FIELD",
        help="the fields of text by which a hook's response refuses (default: refusal)",
    )
    parser.add_argument(
        "--protocol-version",
        type=int,
        default=1,
        metavar="NUMBER",
        help="go-plugin's app protocol version (default: 1)",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FOLDER",
        help="where Markdown pages for the authors of plugins are written: hooks, host API, types (default: nowhere)",
    )
    return parser


def main(arguments: Sequence[str] | None = None, sdk_version: str = "0.1.0") -> int:
    """Runs the command; answers the exit code, which is 1 for a contract of which no package can be made."""
    given = _parser().parse_args(arguments)
    try:
        options = Options(
            package=_package(given.package),
            hooks=given.hooks.lstrip("."),
            api=given.api.lstrip("."),
            cookie=_cookie(given.cookie),
            refusals=tuple(given.refusal),
            protocol_version=given.protocol_version,
            sdk_version=sdk_version,
        )
        written = Package(described(given.proto, given.include), options).write(given.output, given.reference)
    except (ContractError, OSError) as error:
        sys.stderr.write(f"effect-plugin-generate: {error}\n")
        return 1
    folders = " and ".join(str(folder) for folder in (given.output, given.reference) if folder)
    sys.stdout.write(f"{len(written)} files written to {folders}: pip install {given.output}\n")
    return 0


def _package(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name) or name in ("effect_plugin", "mattermost_plugin"):
        raise ContractError(
            f"--package {name}: a package of yours has a name that Python can import, billing_plugin say"
        )
    return name


def _cookie(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or not value:
        raise ContractError(f"--cookie {text}: it is the name of a variable and its value, BILLING_PLUGIN=value say")
    return name, value
