"""Python's own TLS in front of grpcio's servers and connections, for the keys that grpcio's can't verify.

go-plugin's own hosts make P-521 keys, and grpcio's BoringSSL refuses them. Python's `ssl` is OpenSSL, which does not.
So what grpcio says in the clear, over a socket in a folder of this process' own, is put into TLS here, and back.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable
from typing import Callable

from .tls import NAME, SessionTLS

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

#: Bytes read at once.
_CHUNK = 256 * 1024

#: Seconds for what a server said last to reach the host.
_LAST_WORDS_LIMIT = 0.25


@contextlib.asynccontextmanager
async def accepting(tls: SessionTLS, address: str, behind: str) -> AsyncIterator[None]:
    """Takes the host's connections at `address`, and hands them on to the server that listens `behind` it."""
    context = tls.context(ssl.PROTOCOL_TLS_SERVER)
    async with _relay(address, context, lambda: asyncio.open_unix_connection(behind)) as connections:
        yield
        # The server has closed them, so they end once all is handed on.
        if connections:
            await asyncio.wait(connections, timeout=_LAST_WORDS_LIMIT)


@contextlib.asynccontextmanager
async def connecting(tls: SessionTLS, network: str, address: str, behind: str) -> AsyncIterator[None]:
    """Takes this process' connections `behind`, and hands them on to the host's server at `address`."""
    context = tls.context(ssl.PROTOCOL_TLS_CLIENT)

    async def connect() -> _Streams:
        if network == "unix":
            return await asyncio.open_unix_connection(address, ssl=context, server_hostname=NAME)
        host, _, port = address.rpartition(":")
        return await asyncio.open_connection(host, int(port), ssl=context, server_hostname=NAME)

    async with _relay(behind, None, connect):
        yield


@contextlib.asynccontextmanager
async def _relay(
    path: str, context: ssl.SSLContext | None, connect: Callable[[], Awaitable[_Streams]]
) -> AsyncIterator[set[asyncio.Task[None]]]:
    connections: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_hand_on((reader, writer), connect))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_unix_server(accepted, path, ssl=context)
    try:
        yield connections
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _hand_on(outer: _Streams, connect: Callable[[], Awaitable[_Streams]]) -> None:
    """Hands both directions on. TLS has no half-closed connections: the end of one direction is that of both."""
    writers = [outer[1]]
    try:
        inner = await connect()
        writers.append(inner[1])
        directions = [asyncio.ensure_future(_copy(*ends)) for ends in ((outer[0], inner[1]), (inner[0], outer[1]))]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
        for writer in writers:
            writer.close()
        for writer in writers:
            # What was handed on is sent; whoever ends this process waits for that.
            await writer.wait_closed()
    except OSError:
        # Nobody is there, or it is not who it should be: this connection ends, and grpcio tells whoever uses it.
        pass
    finally:
        for writer in writers:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
