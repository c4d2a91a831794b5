"""The sockets over which a host offers ttrpc, which the plugin inherits."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import NamedTuple

#: Names the two descriptors: over the first the host calls the plugin, over the second the plugin calls the host.
VARIABLE = "PLUGIN_SUPERVISOR_TTRPC"

#: A host that asks for TLS does not get it by this.
_TLS_VARIABLE = "PLUGIN_CLIENT_CERT"


class Offered(NamedTuple):
    """The two connections, and the descriptor that the first one came by."""

    hooks: socket.socket
    api: socket.socket
    name: str

    def close(self) -> None:
        """Closes this process' side of both."""
        self.hooks.close()
        self.api.close()


#: What the host offers, until it is declined.
_offered: Offered | None = None


def claim() -> None:
    """Takes the sockets, so that no child inherits them. Done when the package is imported in a plugin's process."""
    global _offered
    named = os.environ.pop(VARIABLE, "")
    descriptors = named.split(",")
    # The first three are somebody else's.
    if len(set(descriptors)) != 2 or not all(each.isdecimal() and 2 < int(each) < 2**31 for each in descriptors):
        return
    hooks, api = (int(each) for each in descriptors)
    with contextlib.suppress(OSError):
        if not all(stat.S_ISSOCK(os.fstat(each).st_mode) for each in (hooks, api)):
            return
        for each in (hooks, api):
            os.set_inheritable(each, False)
        _offered = Offered(socket.socket(fileno=hooks), socket.socket(fileno=api), descriptors[0])
        for connection in (_offered.hooks, _offered.api):
            # Whatever the plugin's `socket.setdefaulttimeout` is: a host may have nothing to say for hours.
            connection.settimeout(None)
        # A child that has copies would keep the host from hearing of the plugin's end.
        os.register_at_fork(after_in_child=_offered.close)


def offered() -> Offered | None:
    """What the host offers; None where it offers nothing, asks for TLS, or has been declined."""
    return None if os.environ.get(_TLS_VARIABLE) else _offered


def decline() -> None:
    """The plugin speaks gRPC: closes its side of what was offered."""
    global _offered
    if _offered is not None:
        _offered.close()
        _offered = None
