"""Where a plugin listens: a unix socket in the folder the host names, or a TCP port in its range."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator

import grpc
import grpc.aio

from .._limits import message_options
from .._sockets import has_unix_sockets, share_with_group
from . import relay
from .tls import SessionTLS

#: Longest path of a unix socket, in bytes.
_MAX_SOCKET_PATH = 107 if sys.platform == "linux" else 103

#: Seconds calls in flight get when a server ends: a host waits two seconds for the whole plugin.
_STOP_GRACE = 0.5


def make_server() -> grpc.aio.Server:
    """A server without services."""
    # A port that is in use is one that is taken.
    return grpc.aio.server(options=[*message_options(), ("grpc.so_reuseport", 0)])


@contextlib.asynccontextmanager
async def listening(server: grpc.aio.Server, tls: SessionTLS | None) -> AsyncIterator[tuple[str, str]]:
    """Starts the server, answers network and address as the protocol writes them, and ends it with the block."""
    async with contextlib.AsyncExitStack() as stack:
        if not has_unix_sockets():
            network, address = "tcp", _listen_on_tcp(server, tls)
        elif tls is not None and tls.relayed:
            network, address = "unix", _socket_path()
            behind = os.path.join(stack.enter_context(private_folder()), "grpc")
            server.add_insecure_port(f"unix:{behind}")
            with _private_mode():
                await stack.enter_async_context(relay.accepting(tls, address, behind))
        else:
            network, address = "unix", _socket_path()
            with _private_mode():
                _add(server, f"unix:{address}", tls)
        if network == "unix":
            stack.callback(_remove, address)
            share_with_group(address)
        await server.start()
        stack.push_async_callback(server.stop, _STOP_GRACE)
        yield network, address


@contextlib.contextmanager
def private_folder() -> Iterator[str]:
    """A folder that is nobody else's, with a path short enough for a socket's."""
    # Here, and below: few plugins need them, and they take long to load.
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(dir=_socket_folder())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _add(server: grpc.aio.Server, target: str, tls: SessionTLS | None) -> int:
    if tls is None:
        return server.add_insecure_port(target)
    return server.add_secure_port(target, tls.server_credentials())


def _socket_folder() -> str:
    return os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or os.environ.get("TMPDIR") or "/tmp"


def _socket_path() -> str:
    path = os.path.join(_socket_folder(), f"plugin{os.urandom(5).hex()}")
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
        sys.exit(f"the socket's path {path} is longer than {_MAX_SOCKET_PATH} bytes; set TMPDIR to a shorter folder")
    return path


@contextlib.contextmanager
def _private_mode() -> Iterator[None]:
    """A socket made here is never open to others, not even before its mode is set."""
    mask = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(mask)


def _listen_on_tcp(server: grpc.aio.Server, tls: SessionTLS | None) -> str:
    low, high = (_port(name) for name in ("PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT"))
    if low > high:
        sys.exit(f"PLUGIN_MIN_PORT is {low}, more than PLUGIN_MAX_PORT, which is {high}")
    for port in range(low, high + 1) if high else [0]:
        with contextlib.suppress(RuntimeError):
            return f"127.0.0.1:{_add(server, f'127.0.0.1:{port}', tls)}"
    sys.exit(f"no port from {low} to {high} is free")


def _port(name: str) -> int:
    text = os.environ.get(name) or "0"
    if not text.isdigit():
        sys.exit(f"{name} is {text!r}, which is no port")
    return int(text)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
