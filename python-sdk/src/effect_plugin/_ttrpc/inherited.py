"""The connection to the host API that the plugin inherits, and that all its clients share."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import HostConnection

_connection: HostConnection | None = None


def connect(api: socket.socket) -> None:
    """From now on clients of the host's API use this."""
    global _connection
    from .client import HostConnection

    _connection = HostConnection(api)


def connection() -> HostConnection | None:
    """What clients use; None where they speak gRPC."""
    return _connection
