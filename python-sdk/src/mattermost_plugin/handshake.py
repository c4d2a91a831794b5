"""The handshake: which version is spoken, where the plugin listens, and the line that says so."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import sys

import grpc.aio

#: The app protocol versions this SDK speaks.
PROTOCOL_VERSIONS = [1]

#: Longest path of a unix socket, in bytes.
_MAX_SOCKET_PATH = 107 if sys.platform == "linux" else 103


def choose_protocol_version(offered: str) -> int:
    """The highest version both sides speak; without one our lowest, which the host then refuses (go-plugin's rule)."""
    versions = set()
    for entry in offered.split(","):
        try:
            versions.add(int(entry))
        except ValueError:
            if entry:
                sys.stderr.write(f"PLUGIN_PROTOCOL_VERSIONS has {entry!r}, which is no number\n")
    return max(versions & set(PROTOCOL_VERSIONS), default=min(PROTOCOL_VERSIONS))


def format_handshake_line(network: str, address: str, version: int = 1) -> str:
    """The handshake: core version, app version, network, address, protocol, and an empty certificate."""
    line = f"1|{version}|{network}|{address}|grpc|"
    # A host that asks for multiplexing expects a word about it.
    return line + "|false" if os.environ.get("PLUGIN_MULTIPLEX_GRPC") else line


def listen(server: grpc.aio.Server) -> tuple[str, str]:
    """Binds the server; answers the network and address of the handshake."""
    if hasattr(socket, "AF_UNIX") and sys.platform != "win32":
        folder = os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or os.environ.get("TMPDIR") or "/tmp"
        path = os.path.join(folder, f"plugin{secrets.token_hex(5)}")
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
            sys.exit(
                f"the socket's path {path} is longer than {_MAX_SOCKET_PATH} bytes; set TMPDIR to a shorter folder"
            )
        # The socket must never be open to others, not even before its mode is set.
        mask = os.umask(0o177)
        try:
            server.add_insecure_port(f"unix:{path}")
        finally:
            os.umask(mask)
        _share_with_group(path)
        return "unix", path
    low, high = (int(os.environ.get(name) or 0) for name in ("PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT"))
    for port in range(low, high + 1) if high else [0]:
        with contextlib.suppress(RuntimeError):
            return "tcp", f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    sys.exit(f"no free port between {low} and {high}")


def _share_with_group(path: str) -> None:
    group = os.environ.get("PLUGIN_UNIX_SOCKET_GROUP")
    if not group:
        return
    shutil.chown(path, group=int(group) if group.isdigit() else group)
    os.chmod(path, 0o660)
