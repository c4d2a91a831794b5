"""The handshake: whether a host is there, which version is spoken, and the line that says where."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass

_NOT_A_PROGRAM = (
    "This binary is a plugin. These are not meant to be executed directly.\n"
    "Please execute the program that consumes these plugins, which will\n"
    "load any plugins automatically\n"
)

_NO_COOKIE = (
    "Misconfigured plugin: it has no magic cookie key and value. Set both to what its host expects;\n"
    "they tell a user who runs the plugin by hand what it is.\n"
)


@dataclass(frozen=True)
class HandshakeConfig:
    """What plugin and host agree on before they talk: a variable and its value. A courtesy to users, not a secret."""

    magic_cookie_key: str
    magic_cookie_value: str

    def started_by_host(self) -> bool:
        """Whether a host started this process."""
        return bool(self.magic_cookie_key) and os.environ.get(self.magic_cookie_key) == self.magic_cookie_value

    def require_host(self) -> None:
        """Ends the process, with go-plugin's words, unless a host started it."""
        if not self.magic_cookie_key or not self.magic_cookie_value:
            sys.stderr.write(_NO_COOKIE)
            sys.exit(1)
        if not self.started_by_host():
            sys.stderr.write(_NOT_A_PROGRAM)
            sys.exit(1)


def choose_protocol_version(offered: str, spoken: Collection[int]) -> int:
    """The highest version both sides speak; without one our lowest, which the host then refuses (go-plugin's rule)."""
    versions = set()
    for entry in offered.split(","):
        try:
            versions.add(int(entry))
        except ValueError:
            if entry:
                sys.stderr.write(f"PLUGIN_PROTOCOL_VERSIONS has {entry!r}, which is no number\n")
    return max(versions & set(spoken), default=min(spoken))


def format_handshake_line(
    version: int, network: str, address: str, certificate: str = "", *, protocol: str = "grpc"
) -> str:
    """The handshake: core version, app version, network, address, protocol, and the certificate, if there is TLS."""
    line = f"1|{version}|{network}|{address}|{protocol}"
    if protocol != "grpc":
        return line
    line += f"|{certificate}"
    # A host that asks for multiplexing expects a word about it.
    return line + "|false" if os.environ.get("PLUGIN_MULTIPLEX_GRPC") else line
