"""The channel on which a plugin that speaks ttrpc calls its host, by the stubs of grpcio's generated code."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable
from typing import Any, Callable, NoReturn

import grpc
import grpc.aio

from .._ttrpc.client import HostConnection
from .._ttrpc.client_streams import ClientStream, StreamRpc
from .host_calls import BidiCall, ClientStreamCall, Requests, ServerStreamCall, UnaryCall
from .metadata import entries_of

Metadata = Iterable[tuple[str, Any]]


class HostChannel(grpc.aio.Channel):
    """The second of the connections that a host offers, as a `grpc.aio.Channel`; for coroutines of any loop.

    A call has no deadline but its own `timeout`. It is refused `credentials`, since there are none, and heeds neither
    `wait_for_ready`, since the connection is always there, nor `compression`.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = HostConnection(connection)

    def unary_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Makes what calls a method of one request and one response."""
        return _OfRequest(self._connection, _rpc(method, request_serializer, response_deserializer, False, False))

    def unary_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        """The same of one request and many responses."""
        return _OfRequest(self._connection, _rpc(method, request_serializer, response_deserializer, False, True))

    def stream_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        """The same of many requests and one response."""
        return _OfRequests(self._connection, _rpc(method, request_serializer, response_deserializer, True, False))

    def stream_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        """The same of many requests and many responses."""
        return _OfRequests(self._connection, _rpc(method, request_serializer, response_deserializer, True, True))

    async def __aenter__(self) -> HostChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Leaves the connection as it is: it is the process' own, and ends with it."""

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """READY, until a call has found that the host is gone."""
        return grpc.ChannelConnectivity.SHUTDOWN if self._connection.has_ended else grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> NoReturn:
        """Raises UsageError: calls fail with UNAVAILABLE when the host is gone, and the plugin ends."""
        raise grpc.aio.UsageError("a channel over ttrpc does not tell of its state: it is ready until the host is gone")

    async def channel_ready(self) -> None:
        """Returns at once: the connection is always there."""


class _Method:
    """Makes calls of one rpc."""

    def __init__(self, connection: HostConnection, rpc: StreamRpc) -> None:
        self._connection = connection
        self._rpc = rpc

    def _stream(self, request: Any, timeout: float | None, metadata: Metadata | None, credentials: Any) -> ClientStream:
        seconds, entries = _options(timeout, metadata, credentials)
        return self._connection.stream(self._rpc, request, seconds, entries)


class _OfRequest(_Method):
    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> UnaryCall | ServerStreamCall:
        if self._rpc.answers_stream:
            return ServerStreamCall(self._stream(request, timeout, metadata, credentials), None)
        seconds, entries = _options(timeout, metadata, credentials)
        return UnaryCall(self._connection, self._rpc, request, seconds, entries)


class _OfRequests(_Method):
    def __call__(
        self,
        request_iterator: Requests | None = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> ClientStreamCall | BidiCall:
        stream = self._stream(None, timeout, metadata, credentials)
        return (BidiCall if self._rpc.answers_stream else ClientStreamCall)(stream, request_iterator)


def _options(timeout: float | None, metadata: Metadata | None, credentials: Any) -> tuple[float, list[tuple[str, str]]]:
    if credentials is not None:
        raise ValueError("a call over ttrpc takes no credentials: the connection is the host's own")
    return math.inf if timeout is None else timeout, entries_of(metadata or ())


def _rpc(
    method: str,
    encode: Callable[[Any], bytes] | None,
    read: Callable[[bytes], Any] | None,
    takes_stream: bool,
    answers_stream: bool,
) -> StreamRpc:
    service, _, name = method.lstrip("/").rpartition("/")
    if not service or not name:
        raise ValueError(f"{method!r} names no method: that is /package.Service/Method")
    return StreamRpc(service, name, encode or _as_it_is, read or _as_it_is, takes_stream, answers_stream)


def _as_it_is(data: bytes) -> bytes:
    return data
