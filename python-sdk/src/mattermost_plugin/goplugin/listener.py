"""Where a plugin listens: a unix socket in the folder the host names, or a TCP port in its range."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import sys

import grpc
import grpc.aio

#: Longest path of a unix socket, in bytes.
_MAX_SOCKET_PATH = 107 if sys.platform == "linux" else 103

#: What every server of a plugin is made with: no message limits, and a port that is in use is one that is taken.
SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
]


def _has_unix_sockets() -> bool:
    return hasattr(socket, "AF_UNIX") and sys.platform != "win32"


def listen(server: grpc.aio.Server, credentials: grpc.ServerCredentials | None = None) -> tuple[str, str]:
    """Binds the server; answers the network and address as the protocol writes them."""

    def add(target: str) -> int:
        if credentials is None:
            return server.add_insecure_port(target)
        return server.add_secure_port(target, credentials)

    if _has_unix_sockets():
        folder = os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or os.environ.get("TMPDIR") or "/tmp"
        path = os.path.join(folder, f"plugin{secrets.token_hex(5)}")
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
            sys.exit(
                f"the socket's path {path} is longer than {_MAX_SOCKET_PATH} bytes; set TMPDIR to a shorter folder"
            )
        # The socket must never be open to others, not even before its mode is set.
        mask = os.umask(0o177)
        try:
            add(f"unix:{path}")
        finally:
            os.umask(mask)
        _share_with_group(path)
        return "unix", path
    low, high = (_port(name) for name in ("PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT"))
    if low > high:
        sys.exit(f"PLUGIN_MIN_PORT is {low}, more than PLUGIN_MAX_PORT, which is {high}")
    for port in range(low, high + 1) if high else [0]:
        with contextlib.suppress(RuntimeError):
            return "tcp", f"127.0.0.1:{add(f'127.0.0.1:{port}')}"
    sys.exit(f"no port from {low} to {high} is free")


def _port(name: str) -> int:
    text = os.environ.get(name) or "0"
    if not text.isdigit():
        sys.exit(f"{name} is {text!r}, which is no port")
    return int(text)


def remove(network: str, address: str) -> None:
    """Removes what a listener may have left."""
    if network == "unix":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)


def _share_with_group(path: str) -> None:
    group = os.environ.get("PLUGIN_UNIX_SOCKET_GROUP")
    if not group:
        return
    shutil.chown(path, group=int(group) if group.isdigit() else group)
    os.chmod(path, 0o660)
