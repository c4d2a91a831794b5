"""Unix sockets that a plugin listens on, whatever it serves there."""

from __future__ import annotations

import os
import socket
import sys


def has_unix_sockets() -> bool:
    """Whether plugins listen on unix sockets here, as go-plugin's do everywhere but on Windows."""
    return hasattr(socket, "AF_UNIX") and sys.platform != "win32"


def share_with_group(path: str) -> None:
    """Lets a group of the host's choice use a socket (`PLUGIN_UNIX_SOCKET_GROUP`)."""
    group = os.environ.get("PLUGIN_UNIX_SOCKET_GROUP")
    if not group:
        return
    import shutil

    shutil.chown(path, group=int(group) if group.isdigit() else group)
    os.chmod(path, 0o660)
