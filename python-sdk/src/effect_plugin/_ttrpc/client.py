"""The plugin's side of the connection over which it calls its host: one for all clients, threads and event loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable

from google.protobuf.message import DecodeError

from .._descriptors import message_class
from .._loops import EventLoop
from .._status import CallError, Code
from ..logs import own_logger
from . import wire
from .asked import Asked, LoopCalls, Metadata, OnLoop, OnThread, Pending
from .frames import FrameReader, FrameWriter, GarbledError
from .wire import Frame

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

    from .client_streams import ClientStream, StreamRpc
    from .streams import Backlog

_log = own_logger("effect_plugin")

#: Calls that are under way at once, as many as a host takes (MAX_CONCURRENT_STREAMS). Those beyond wait for their turn.
MAX_STREAMS = 1000

#: Calls that may wait for their turn.
MAX_WAITING = 65_536

#: Seconds between two looks at whether the host takes what coroutines send, when it has not.
_LOOK = 0.005

_GONE = "the connection to the host has ended"


class HostConnection:
    """The connection. A thread that waits for an answer reads, if nobody does; for coroutines a thread of ours does."""

    def __init__(self, connection: socket.socket) -> None:
        #: As a client's target says it.
        self.target = f"fd:{connection.fileno()}"
        self._limit = wire.frame_limit()
        self._reader = FrameReader(connection, self._limit)
        self._writer = FrameWriter(connection)
        self._connection = connection
        #: A signal's handler, or an object's `__del__`, may call in the middle of another call of its thread.
        self._lock = threading.RLock()
        self._is_putting = False
        self._pending: dict[int, Pending] = {}
        self._waiting: dict[Pending, Asked] = {}
        #: Who may be made to read.
        self._threads: dict[OnThread, None] = {}
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopCalls] = weakref.WeakKeyDictionary()
        self._last_stream = wire.LAST_STREAM
        self._backlog: Backlog | None = None
        self._is_read = False
        self._ended = False
        self._reads_always = False
        self._lead_for_loops = threading.Lock()
        self._lead_for_loops.acquire()

    def call(self, service: str, method: str, payload: bytes, seconds: float, metadata: Metadata) -> bytes:
        """Calls the host, and waits for its answer. Raises CallError."""
        end = time.monotonic() + seconds
        pending = OnThread()
        if not self._writer.wait_for_room(max(seconds, 0)):
            raise CallError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
        self.open(pending, Asked(service, method, payload, metadata, end))
        self._writer.flush()
        try:
            while not pending.is_done:
                if self._takes_lead(pending):
                    try:
                        self._read_for(pending, end)
                    finally:
                        self._pass_lead()
                else:
                    pending.wait(end - time.monotonic())
                if not pending.is_done and time.monotonic() >= end:
                    raise CallError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
        finally:
            self.leave(pending)
        return pending.result()

    async def call_async(self, service: str, method: str, payload: bytes, seconds: float, metadata: Metadata) -> bytes:
        """The same for a coroutine, on any loop."""
        end = time.monotonic() + seconds
        while self._writer.is_full and time.monotonic() < end:
            await asyncio.sleep(_LOOK)
        if not self._reads_always:
            self._read_always()
        calls = self._calls_here()
        pending = OnLoop(calls, end)
        self.open(pending, Asked(service, method, payload, metadata, end))
        calls.add(pending)
        try:
            await pending.answer
            if not pending.is_done:
                raise CallError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
        finally:
            calls.remove(pending)
            self.leave(pending)
        return pending.result()

    def stream(self, rpc: StreamRpc, request: Any, seconds: float, metadata: Metadata) -> ClientStream:
        """Opens a stream for coroutines of this loop, as soon as the host takes it. `async with` leaves it.

        `request` is that of an rpc which takes one. What keeps it from being opened is what it fails with.
        """
        from .client_streams import ClientStream
        from .streams import Backlog

        payload = b"" if rpc.takes_stream else rpc.encode(request)
        if not self._reads_always:
            self._read_always()
        with self._lock:
            self._backlog = self._backlog or Backlog(self._limit)
        end = time.monotonic() + seconds
        stream = ClientStream(rpc, self, self._writer, self._backlog, self._calls_here(), end)
        stream.open(Asked(rpc.service, rpc.name, payload, metadata, end))
        return stream

    @property
    def has_ended(self) -> bool:
        """Whether the host is known to be gone."""
        return self._ended

    @property
    def limit(self) -> int:
        """Bytes of data that a frame may have."""
        return self._limit

    def _calls_here(self) -> LoopCalls:
        loop = asyncio.get_running_loop()
        calls = self._loops.get(loop)
        if calls is None:
            calls = self._loops[loop] = LoopCalls(EventLoop.of(loop), self._writer)
        return calls

    # -- calls ---------------------------------------------------------------------------------------------------------

    def give_up(self, pending: Pending, error: CallError) -> None:
        """Ends a call against its host, which is told. For any thread."""
        if pending.is_done:
            return
        self.leave(pending)
        pending.error = error
        pending.wake()

    def open(self, pending: Pending, asked: Asked) -> None:
        """Puts a call on its way, or has it wait for its turn. Somebody must flush. Raises CallError."""
        data = asked.data()
        if len(data) > self._limit:
            raise CallError(Code.RESOURCE_EXHAUSTED, wire.too_large(len(data), self._limit))
        with self._lock:
            if self._ended:
                raise CallError(Code.UNAVAILABLE, _GONE)
            if len(self._waiting) >= MAX_WAITING:
                raise CallError(Code.RESOURCE_EXHAUSTED, f"{MAX_WAITING} calls of the host wait for their turn")
            if not self._waiting and len(self._pending) < MAX_STREAMS:
                self._begin(pending, data)
            else:
                self._waiting[pending] = asked
                # Others may have been answered in this moment, and have seen nobody who waits.
                self._begin_waiting()
            if isinstance(pending, OnThread):
                self._threads[pending] = None

    def _begin(self, pending: Pending, data: bytes) -> None:
        """With the lock held."""
        pending.stream = stream = self._put(data, pending.flags)
        self._pending[stream] = pending
        if pending.flags:
            pending.begun()

    def _begin_waiting(self) -> None:
        """Begins the calls whose turn has come; with the lock held. Somebody must flush."""
        while self._waiting and len(self._pending) < MAX_STREAMS:
            pending = next(iter(self._waiting))
            self._begin(pending, self._waiting.pop(pending).data())

    def _put(self, data: bytes, flags: int = 0) -> int:
        """Puts a request on the way, by the next stream: in their order, so with the lock held."""
        if self._is_putting:
            raise CallError(Code.UNAVAILABLE, "called while another call is just being sent, by the same thread")
        self._is_putting = True
        try:
            stream = self._last_stream = (self._last_stream + 2) & wire.LAST_STREAM
            self._writer.put(wire.frame(stream, wire.REQUEST, data, flags))
        finally:
            self._is_putting = False
        return stream

    def leave(self, pending: Pending) -> None:
        """Nobody waits any more, for whichever reason; the host hears of it, if it has not answered."""
        if isinstance(pending, OnThread):
            with self._lock:
                self._threads.pop(pending, None)
                leads, pending.leads = pending.leads, False
            if leads:
                self._pass_lead()
        if pending.is_done:
            return
        with self._lock:
            if self._waiting.pop(pending, None) is not None or pending.stream is None:
                return
            if self._pending.pop(pending.stream, None) is not None:
                self._put(wire.cancel(pending.stream))
                self._begin_waiting()
        self._writer.flush()

    # -- reading -------------------------------------------------------------------------------------------------------

    def _takes_lead(self, pending: OnThread) -> bool:
        """Whether this thread is to read: nobody does, or it has been told to."""
        with self._lock:
            if pending.leads:
                pending.leads = False
                return True
            if self._is_read or pending.is_done:
                return False
            self._is_read = True
            return True

    def _pass_lead(self) -> None:
        """Has somebody else read who waits, if anybody does."""
        with self._lock:
            if self._reads_always:
                self._lead_for_loops.release()
                return
            for pending in self._threads:
                if not pending.is_done:
                    pending.leads = True
                    pending.wake()
                    return
            self._is_read = False

    def _read_for(self, pending: OnThread, end: float) -> None:
        """Reads until a call is answered, or its time is over."""
        while not pending.is_done:
            left = end - time.monotonic()
            if left <= 0 or not self._reader.wait(min(left, 3600)):
                return
            if self._backlog is None or self._backlog.wait_for_room(left):
                self._read()

    def _read_always(self) -> None:
        """From now on a thread reads, whoever calls: coroutines can't."""
        with self._lock:
            if self._reads_always:
                return
            # It waits for its turn. And where it can't be started, the next call tries again.
            threading.Thread(target=self._read_for_loops, name="ttrpc-reader", daemon=True).start()
            self._reads_always = True
            if not self._is_read:
                self._is_read = True
                self._lead_for_loops.release()

    def _read_for_loops(self) -> None:
        # Until the thread that reads has its answer.
        self._lead_for_loops.acquire()
        while not self._ended:
            if self._backlog is not None:
                self._backlog.wait_for_room()
            self._read()

    def _read(self) -> None:
        try:
            for frame in self._reader.read():
                self._answered(frame)
            if self._waiting:
                with self._lock:
                    self._begin_waiting()
                self._writer.flush()
        except (EOFError, OSError):
            self._end()
        except GarbledError as error:
            _log.error("the host's answers can't be read any more: %s", error)
            self._end()

    def _answered(self, frame: Frame) -> None:
        stream, kind, data, _ = frame
        if kind != wire.RESPONSE:
            self._more(frame)
            return
        pending = self._pending.pop(stream, None)
        if pending is None:
            # It has come too late.
            return
        if data is None:
            pending.error = CallError(Code.RESOURCE_EXHAUSTED, f"Received message larger than max ({self._limit})")
        else:
            try:
                response = wire.Response.FromString(data)
            except DecodeError:
                pending.error = CallError(Code.INTERNAL, "the host has answered what is no response")
            else:
                if response.status.code:
                    pending.error = wire.error_of(response.status)
                else:
                    pending.payload = response.payload
        pending.wake()

    def _more(self, frame: Frame) -> None:
        """Takes a frame that is no response."""
        stream, kind, data, flags = frame
        pending = self._pending.get(stream)
        if pending is None:
            # It has come too late.
            return
        if kind != wire.DATA:
            pending.error = CallError(Code.INTERNAL, f"the host has answered by a frame of type {kind}")
        elif data is None:
            text = f"Received message larger than max ({self._limit})"
            self.give_up(pending, CallError(Code.RESOURCE_EXHAUSTED, text))
        else:
            pending.receive(None if flags & wire.NO_DATA else data, is_last=bool(flags & wire.REMOTE_CLOSED))
        if pending.is_done and self._pending.pop(stream, None) is not None:
            pending.wake()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            left = [*self._pending.values(), *self._waiting]
            self._pending.clear()
            self._waiting.clear()
        self._writer.close()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        for pending in left:
            pending.error = CallError(Code.UNAVAILABLE, _GONE)
            pending.wake()


class Channel:
    """The connection, as a client of the host API has it, for any thread."""

    #: What a call raises that has failed.
    error: type[Exception] = CallError

    def __init__(self, connection: HostConnection) -> None:
        self._connection = connection

    def unary(self, method: MethodDescriptor) -> Callable[..., Any]:
        """The function that calls a method: of a request, seconds and metadata."""
        service, name = method.containing_service.full_name, method.name
        read, call = message_class(method.output_type).FromString, self._connection.call

        def unary(request: Any, seconds: float, metadata: Metadata) -> Any:
            return _read(read, call(service, name, request.SerializeToString(), seconds, metadata))

        return unary

    def close(self) -> None:
        """Leaves the connection, which is the process' own."""


class AsyncChannel:
    """The same for coroutines."""

    error: type[Exception] = CallError

    def __init__(self, connection: HostConnection) -> None:
        self._connection = connection

    def unary(self, method: MethodDescriptor) -> Callable[..., Any]:
        """The coroutine function that calls a method: of a request, seconds and metadata."""
        service, name = method.containing_service.full_name, method.name
        read, call = message_class(method.output_type).FromString, self._connection.call_async

        async def unary(request: Any, seconds: float, metadata: Metadata) -> Any:
            return _read(read, await call(service, name, request.SerializeToString(), seconds, metadata))

        return unary

    async def close(self) -> None:
        """Leaves the connection, which is the process' own."""


def _read(read: Callable[[bytes], Any], payload: bytes) -> Any:
    try:
        return read(payload)
    except DecodeError:
        raise CallError(Code.INTERNAL, "Exception deserializing response!") from None
