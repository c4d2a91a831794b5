"""GRPCBroker: further gRPC servers between a plugin and its host, of either side's, told apart by number."""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from collections.abc import AsyncIterator
from typing import Any, Callable

import grpc
import grpc.aio

from .._descriptors import message_class
from .._limits import message_options
from .._status import CallError, Code
from . import relay
from .listener import listening, make_server, private_folder
from .tls import SessionTLS

_ConnInfo = message_class("plugin.ConnInfo")

#: Seconds either side waits for the other's word about an id, and an announcement is good for (go-plugin 1.8).
BROKER_TIMEOUT = 5.0

#: Seconds that what the broker opened has to end when the broker closes.
_CLOSE_LIMIT = 1.0


class BrokerError(Exception):
    """A brokered connection could not be made."""


class GRPCBroker:
    """Serves under ids of the plugin's, connects to what the host serves under its own; used on the server's loop."""

    def __init__(self, tls: SessionTLS | None) -> None:
        self._tls = tls
        self._last_id = 0
        self._outgoing: asyncio.Queue[Any] = asyncio.Queue()
        #: What the host has announced, or somebody waits for.
        self._slots: dict[int, asyncio.Future[Any]] = {}
        self._streaming = False
        self._closed = asyncio.Event()
        #: Servers, and what stands between a channel and its host.
        self._open: set[contextlib.AsyncExitStack] = set()

    @property
    def host(self) -> grpc.aio.Channel | None:
        """The channel to what the host itself serves for a plugin that speaks ttrpc; None over gRPC, which has `dial`.

        Stubs of generated code work on it: `services.NotesStub(broker.host)`. It is for coroutines, on any event loop.
        A call has no deadline but its own `timeout`, in seconds. One that fails raises `grpc.aio.AioRpcError`: with
        UNIMPLEMENTED where the host serves nothing there, and UNAVAILABLE when it is gone. The host is told of calls
        that are cancelled. Metadata of answers is empty, but for a status' details (`grpc-status-details-bin`).
        """
        return None

    def next_id(self) -> int:
        """The next unused id of the plugin's: 1, 2, …"""
        self._last_id += 1
        return self._last_id

    @contextlib.asynccontextmanager
    async def serve(self, service_id: int, register: Callable[[grpc.aio.Server], None]) -> AsyncIterator[None]:
        """Serves what `register` adds to a server, under an id; the host is told the id in a message of the app's own.

        The host has five seconds to connect. The server ends with the block, or with the broker.
        """
        if self._closed.is_set():
            raise BrokerError("the broker is closed")
        server = make_server()
        register(server)
        opened = self._opened()
        try:
            network, address = await opened.enter_async_context(listening(server, self._tls))
            await self._outgoing.put(_ConnInfo(service_id=service_id, network=network, address=address))
            yield
        finally:
            await self._end(opened)

    async def accept_and_serve(self, service_id: int, register: Callable[[grpc.aio.Server], None]) -> None:
        """Serves until the broker closes, as go-plugin's method of this name does: run it as a task."""
        async with self.serve(service_id, register):
            await self._closed.wait()

    async def dial(self, service_id: int) -> grpc.aio.Channel:
        """Connects to what the host serves under an id of the host's; waits for its announcement for five seconds."""
        if self._closed.is_set():
            raise BrokerError("the broker is closed")
        slot = self._slot(service_id)
        try:
            info = await asyncio.wait_for(asyncio.shield(slot), BROKER_TIMEOUT)
        except asyncio.TimeoutError:
            raise BrokerError(f"timeout waiting for connection info of id {service_id}") from None
        finally:
            self._forget(service_id, slot)
        target = f"unix:{info.address}" if info.network == "unix" else info.address
        if self._tls is None:
            return grpc.aio.insecure_channel(target, message_options())
        if not self._tls.relayed:
            return self._tls.channel(target, message_options())
        opened = self._opened()
        behind = os.path.join(opened.enter_context(private_folder()), "grpc")
        await opened.enter_async_context(relay.connecting(self._tls, info.network, info.address, behind))
        channel = grpc.aio.insecure_channel(f"unix:{behind}", message_options())
        # A channel may connect again for as long as somebody has it.
        weakref.finalize(channel, self._end_soon, asyncio.get_running_loop(), opened).atexit = False
        return channel

    async def start_stream(self, incoming: Any, context: Any) -> None:
        """The rpc `GRPCBroker.StartStream`: the host's announcements come in, ours go out."""
        if self._streaming:
            raise CallError(Code.FAILED_PRECONDITION, "the broker has its host already")
        self._streaming = True

        async def send() -> None:
            while True:
                await context.write(await self._outgoing.get())

        async def receive() -> None:
            async for message in incoming:
                self._announced(message)

        tasks = [asyncio.ensure_future(part) for part in (send(), receive(), self._closed.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.close()

    async def close(self) -> None:
        """Ends every server, and everybody's waiting."""
        self._closed.set()
        for slot in self._slots.values():
            if not slot.done():
                slot.set_exception(BrokerError("the broker was closed"))
                # Nobody may be waiting for it.
                slot.exception()
        self._slots.clear()
        if self._open:
            # So that they leave no sockets behind. Each gives its calls half a second.
            ending = [asyncio.ensure_future(self._end(opened)) for opened in self._open]
            await asyncio.wait(ending, timeout=_CLOSE_LIMIT)

    def _opened(self) -> contextlib.AsyncExitStack:
        opened = contextlib.AsyncExitStack()
        self._open.add(opened)
        return opened

    async def _end(self, opened: contextlib.AsyncExitStack) -> None:
        self._open.discard(opened)
        await opened.aclose()

    def _end_soon(self, loop: asyncio.AbstractEventLoop, opened: contextlib.AsyncExitStack) -> None:
        """The same from whichever thread the garbage is collected on, also after the loop's end."""
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._end(opened)))

    def _slot(self, service_id: int) -> asyncio.Future[Any]:
        slot = self._slots.get(service_id)
        if slot is None:
            slot = self._slots[service_id] = asyncio.get_running_loop().create_future()
        return slot

    def _announced(self, message: Any) -> None:
        slot = self._slot(message.service_id)
        if slot.done():
            # An id is announced once; go-plugin drops a second one too.
            return
        slot.set_result(message)
        asyncio.get_running_loop().call_later(BROKER_TIMEOUT, self._forget, message.service_id, slot)

    def _forget(self, service_id: int, slot: asyncio.Future[Any]) -> None:
        # The id may have a new slot by now.
        if self._slots.get(service_id) is slot:
            del self._slots[service_id]
