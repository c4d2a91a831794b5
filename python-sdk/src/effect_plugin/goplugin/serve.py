"""A plugin's life: it finds its host, listens, says where, serves, and ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Coroutine, Mapping
from typing import Any, Callable

import grpc.aio

from .. import _process as process
from .. import _tasks as tasks
from .. import _watchdog as watchdog
from . import services
from .broker import GRPCBroker
from .handshake import HandshakeConfig, choose_protocol_version, format_handshake_line
from .listener import has_unix_sockets, listening, make_server
from .stdio import STDERR, STDOUT, Stdio
from .stopping import Stopping
from .tls import session_tls

#: Adds the services of one protocol version to the plugin's server.
Register = Callable[[grpc.aio.Server, GRPCBroker], object]


async def serve(
    handshake: HandshakeConfig,
    versions: Mapping[int, Register],
    *,
    stream_output: bool = True,
    on_reattach: Callable[[dict[str, Any]], object] | None = None,
) -> None:
    """Serves the highest of `versions` that the host speaks too, until the host wants the plugin to stop, or is gone.

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
    await serve_until(stopping, versions, stream_output=stream_output, on_reattach=on_reattach)


def hear_of_the_end(stopping: Stopping, loop: asyncio.AbstractEventLoop, *, hosted: bool = True) -> None:
    """Has `stopping` set by signals, and when the host is gone. Called in the main thread, on its `loop`."""
    process.on_signals(loop, stopping.set, ignore_interrupt=hosted)
    if hosted:
        process.claim_stdout()
        process.watch_host(stopping.set)


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
    server.add_generic_rpc_handlers(services.handlers(stopping, stdio, broker))
    versions[version](server, broker)
    async with contextlib.AsyncExitStack() as stack:
        network, address = await stack.enter_async_context(listening(server, tls))
        if on_reattach is None:
            certificate = tls.handshake_field() if tls else ""
            process.write_handshake(format_handshake_line(version, network, address, certificate))
            if stream_output:
                stack.enter_context(contextlib.redirect_stdout(stdio.writer(STDOUT)))
                stack.enter_context(contextlib.redirect_stderr(stdio.writer(STDERR)))
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


def run(
    serving: Coroutine[Any, Any, None], new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
) -> None:
    """Runs a plugin as the process that its host has started, to its end; returns never.

    An error before the handshake goes to stderr, with exit code 1. `new_loop` makes the event loop.
    """
    try:
        loop = new_loop()
        asyncio.set_event_loop(loop)
        tasks.report_deaths(loop)
        loop.run_until_complete(_to_the_end(serving))
    except SystemExit as error:
        if isinstance(error.code, str):
            os.write(2, error.code.encode() + b"\n")
        process.leave(error.code if isinstance(error.code, int) else 1)
    except BaseException:
        with contextlib.suppress(OSError):
            traceback.print_exc(file=sys.__stderr__)
        process.leave(1)


async def _to_the_end(serving: Coroutine[Any, Any, None]) -> None:
    watchdog.watch(asyncio.get_running_loop())
    await serving
    await tasks.end_all()
    process.end()
