"""A host that offers ttrpc, for tests: it knows the protocol by its definition, not by the SDK's code."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from concurrent.futures import Future
from typing import Any, Callable

import grpc

from effect_plugin._descriptors import message_class

Request = message_class("ttrpc.Request")
Response = message_class("ttrpc.Response")
CancelRequest = message_class("plugin_supervisor.v1.CancelRequest")

REQUEST, RESPONSE, DATA = 1, 2, 3

REMOTE_CLOSED, REMOTE_OPEN, NO_DATA = 1, 2, 4

CODES = {code.value[0]: code for code in grpc.StatusCode}


class CallFailed(grpc.RpcError):
    """A call that has failed, as grpcio has it."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(f"{CODES[code]}: {details}")
        self._code = CODES[code]
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


def frame(stream: int, kind: int, data: bytes, flags: int = 0) -> bytes:
    return struct.pack(">IIBB", len(data), stream, kind, flags) + data


def read_exactly(connection: socket.socket, count: int) -> bytes:
    """So many bytes. EOFError when there are fewer."""
    pieces = []
    while count:
        piece = connection.recv(min(count, 1024 * 1024))
        if not piece:
            raise EOFError
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def read_frame(connection: socket.socket) -> tuple[int, int, int, bytes]:
    """The next frame: stream, type, flags and data."""
    length, stream, kind, flags = struct.unpack(">IIBB", read_exactly(connection, 10))
    return stream, kind, flags, read_exactly(connection, length)


def failed(stream: int, code: int, details: str) -> bytes:
    response = Response()
    response.status.code = code
    response.status.message = details
    return frame(stream, RESPONSE, response.SerializeToString())


class Caller:
    """The host's side of the connection over which it calls the plugin."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lock = threading.Lock()
        self._stream = -1
        self._calls: dict[int, tuple[Call, Any]] = {}
        self._streams: dict[int, Stream] = {}
        #: Whoever holds it keeps this from reading.
        self.reading = threading.Lock()
        #: Set when the plugin has closed it.
        self.ended = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def begin(
        self,
        service: str,
        method: str,
        payload: bytes,
        read: Callable[[bytes], Any],
        timeout: float | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Call:
        """Makes a call; answers it. `read` makes a message of what is answered."""
        request = request_of(service, method, payload, timeout, metadata)
        with self._lock:
            self._stream += 2
            call = Call(self, self._stream)
            self._calls[call.stream] = (call, read)
            self.connection.sendall(frame(call.stream, REQUEST, request))
        return call

    def open(
        self,
        service: str,
        method: str,
        payload: bytes = b"",
        flags: int = REMOTE_OPEN,
        timeout: float | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Stream:
        """Opens a stream."""
        request = request_of(service, method, payload, timeout, metadata)
        with self._lock:
            self._stream += 2
            stream = self._streams[self._stream] = Stream(self, self._stream)
            self.connection.sendall(frame(self._stream, REQUEST, request, flags))
        return stream

    def cancel(self, stream: int) -> None:
        """Says that a call is waited for no longer."""
        payload = CancelRequest(stream_id=stream).SerializeToString()
        self.begin("plugin_supervisor.v1.Calls", "Cancel", payload, bytes)

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                stream, kind, flags, data = read_frame(self.connection)
                with self.reading:
                    pass
                if stream in self._streams:
                    self._streams[stream].received.put((kind, flags, data))
                    continue
                call, read = self._calls.pop(stream, (None, bytes))
                if call is None or call.done():
                    continue
                assert kind == RESPONSE
                response = Response.FromString(data)
                if response.status.code:
                    call.set_exception(CallFailed(response.status.code, response.status.message))
                else:
                    call.set_result(read(response.payload))
        for call, _ in self._calls.values():
            if not call.done():
                call.set_exception(CallFailed(14, "the connection has ended"))
        self.ended.set()


def request_of(
    service: str, method: str, payload: bytes, timeout: float | None, metadata: dict[str, str] | None
) -> bytes:
    """The data of the frame that opens a call."""
    request = Request(service=service, method=method, payload=payload)
    request.timeout_nano = int((timeout or 0) * 1_000_000_000)
    for key, value in (metadata or {}).items():
        request.metadata.add(key=key, value=value)
    data: bytes = request.SerializeToString()
    return data


class Stream:
    """A call that streams, frame by frame."""

    def __init__(self, caller: Caller, stream: int) -> None:
        self._caller = caller
        self.stream = stream
        #: Type, flags and data of each frame.
        self.received: queue.SimpleQueue[tuple[int, int, bytes]] = queue.SimpleQueue()

    def send(self, *messages: bytes) -> None:
        """Sends messages."""
        self._caller.connection.sendall(b"".join(frame(self.stream, DATA, message) for message in messages))

    def close(self) -> None:
        """Says that no more follow."""
        self._caller.connection.sendall(frame(self.stream, DATA, b"", REMOTE_CLOSED | NO_DATA))

    def cancel(self) -> None:
        """Gives it up."""
        self._caller.cancel(self.stream)

    def next(self, limit: float = 60.0) -> Any:
        """The next message, or how it has ended: None for well, or the response's status and payload."""
        kind, flags, data = self.received.get(timeout=limit)
        if kind == DATA:
            assert flags in (0, REMOTE_CLOSED | NO_DATA), flags
            return None if flags else data
        assert (kind, flags) == (RESPONSE, 0)
        response = Response.FromString(data)
        return (response.status.code, response.status.message, response.payload)

    def rest(self) -> list[Any]:
        """All messages that are left, and how it has ended."""
        found = [self.next()]
        while isinstance(found[-1], bytes):
            found.append(self.next())
        return found


class Call(Future[Any]):
    """A call, with what a future of grpcio's has beside."""

    def __init__(self, caller: Caller, stream: int) -> None:
        super().__init__()
        self._caller = caller
        self.stream = stream

    def cancel(self) -> bool:
        """Gives it up."""
        is_first = super().cancel()
        if is_first:
            self._caller.cancel(self.stream)
        return is_first

    def code(self) -> grpc.StatusCode:
        error: Any = self.exception()
        return grpc.StatusCode.OK if error is None else error.code()

    def details(self) -> str:
        error: Any = self.exception()
        return "" if error is None else error.details()


class Serving:
    """The host's side of the connection over which the plugin calls it: all is asked of a gRPC server of the test's."""

    def __init__(self, connection: socket.socket, target: str) -> None:
        self.connection = connection
        self._channel = grpc.insecure_channel(target or "unix:/nowhere")
        self._lock = threading.Lock()
        self._calls: dict[int, Any] = {}
        #: Requests that have come, of everything but cancellation.
        self.asked: list[Any] = []
        #: Whether what is asked ends in time by itself; else it is the plugin that ends it.
        self.keeps_deadlines = True
        #: Streams that have been cancelled.
        self.cancelled: list[int] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            last = -1
            while True:
                stream, kind, flags, data = read_frame(self.connection)
                assert (kind, flags) == (REQUEST, 0) and stream & 1 and stream > last
                last = stream
                self._asked(stream, Request.FromString(data))

    def _asked(self, stream: int, request: Any) -> None:
        if request.service == "plugin_supervisor.v1.Calls":
            cancelled = CancelRequest.FromString(request.payload).stream_id
            self.cancelled.append(cancelled)
            if cancelled in self._calls:
                self._calls[cancelled].cancel()
            self._send(frame(stream, RESPONSE, b""))
            return
        self.asked.append(request)
        rpc: Any = self._channel.unary_unary(f"/{request.service}/{request.method}")
        timeout = request.timeout_nano / 1_000_000_000 if request.timeout_nano and self.keeps_deadlines else None
        metadata = [(each.key, each.value) for each in request.metadata]
        call = self._calls[stream] = rpc.future(request.payload, timeout=timeout, metadata=metadata)
        call.add_done_callback(lambda call: self._answer(stream, call))

    def _answer(self, stream: int, call: Any) -> None:
        self._calls.pop(stream, None)
        if call.code() is grpc.StatusCode.OK:
            self._send(frame(stream, RESPONSE, Response(payload=call.result()).SerializeToString()))
        else:
            self._send(failed(stream, call.code().value[0], call.details()))

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError), self._lock:
            self.connection.sendall(data)

    def close(self) -> None:
        self.connection.close()
        self._channel.close()
