"""A plugin's life: it finds its host, listens, says where, serves, and ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from typing import Any, Callable

import grpc.aio

from .. import _process as process
from .._grpc import handler_of
from .._handshake import HandshakeConfig, choose_protocol_version, format_handshake_line
from .._running import hear_of_the_end
from .._sockets import has_unix_sockets
from .._stopping import Stopping
from .._ttrpc import offered
from . import services
from .broker import GRPCBroker
from .listener import listening, make_server
from .stdio import Stdio
from .tls import session_tls

#: Adds the services of one protocol version to the plugin's server.
Register = Callable[[grpc.aio.Server, GRPCBroker], object]


async def serve(
    handshake: HandshakeConfig,
    versions: Mapping[int, Register],
    *,
    stream_output: bool = True,
    on_reattach: Callable[[dict[str, Any]], object] | None = None,
    ttrpc: bool = False,
) -> None:
    """Serves the highest of `versions` that the host speaks too, until the host wants the plugin to stop, or is gone.

    With `ttrpc`, a host that offers ttrpc is answered by it, which takes less of both than gRPC; under any other the
    plugin speaks gRPC as ever. Over ttrpc there is no broker: the methods of the one that `versions` are handed raise
    BrokerError, and its `host` is the channel to what the host serves. And answers have no metadata: what handlers set,
    initial or trailing, is left out.

    With `stream_output`, `sys.stdout` and `sys.stderr` are the host's streams of those names from the handshake to the
    end of this; otherwise they are left as they are.

    With `on_reattach` the plugin runs in test mode, without a host: it needs no magic cookie and prints no handshake.
    The function is handed what a host needs to reattach, in the shape of Terraform's `TF_REATTACH_PROVIDERS`. It stops
    on SIGTERM or SIGINT, or when its task is cancelled.

    What keeps the plugin from serving ends the process with a message and exit code 1.
    """
    loop = asyncio.get_running_loop()
    stopping = Stopping(loop)
    hosted = on_reattach is None
    if hosted:
        handshake.require_host()
    hear_of_the_end(stopping, loop, hosted=hosted)
    offer = offered.offered() if hosted and ttrpc else None
    if offer is not None:
        from .over_ttrpc import serve_offered

        await serve_offered(offer, stopping, versions, stream_output=stream_output)
        return
    offered.decline()
    await serve_until(stopping, versions, stream_output=stream_output, on_reattach=on_reattach)


async def serve_until(
    stopping: Stopping,
    versions: Mapping[int, Register],
    *,
    stream_output: bool = True,
    on_reattach: Callable[[dict[str, Any]], object] | None = None,
) -> None:
    """Serves as `serve` does, on whichever thread's loop `stopping` is for."""
    tls = session_tls(unix_sockets=has_unix_sockets())
    version = choose_protocol_version(process.protocol_versions(), versions)
    broker, stdio = GRPCBroker(tls), Stdio(asyncio.get_running_loop())
    server = make_server()
    own = services.services(stopping, stdio, broker)
    server.add_generic_rpc_handlers([handler_of(service) for service in own])
    versions[version](server, broker)
    async with contextlib.AsyncExitStack() as stack:
        network, address = await stack.enter_async_context(listening(server, tls))
        if on_reattach is None:
            certificate = tls.handshake_field() if tls else ""
            process.write_handshake(format_handshake_line(version, network, address, certificate))
            if stream_output:
                stack.enter_context(stdio.redirected())
        else:
            on_reattach(
                {
                    "Protocol": "grpc",
                    "ProtocolVersion": version,
                    "Pid": os.getpid(),
                    "Test": True,
                    "Addr": {"Network": network, "String": address},
                }
            )
        try:
            await stopping.wait()
        finally:
            stdio.end()
            await broker.close()
