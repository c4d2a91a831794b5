"""Calls that a plugin makes of its host over ttrpc, as those of `grpc.aio` are used."""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Generator, Iterable
from typing import Any, Callable, NoReturn, TypeVar, Union

import grpc
import grpc.aio

from .._loops import start_task
from .._status import CallError, Code
from .._ttrpc.asked import Metadata
from .._ttrpc.client import HostConnection
from .._ttrpc.client_streams import ClientStream, StreamRpc
from .metadata import STATUS_KEY

_Answer = TypeVar("_Answer")

#: What a call that takes many requests may be given: all of them, as they come.
Requests = Union[AsyncIterable[Any], Iterable[Any]]


class _Call(grpc.aio.Call):
    """What calls of all kinds have."""

    def __init__(self, ended: asyncio.Future[Any], end: float) -> None:
        self._ended = ended
        self._end = end
        self._is_cancelled = False

    def _failure(self) -> BaseException | None:
        """What it has failed with, if it has."""
        raise NotImplementedError

    def _give_up(self) -> None:
        raise NotImplementedError

    # -- how it ends ---------------------------------------------------------------------------------------------------

    def cancel(self) -> bool:
        """Gives the call up, of which the host is told; whether it had not ended."""
        if self.done():
            return False
        self._is_cancelled = True
        self._give_up()
        return True

    def cancelled(self) -> bool:
        """Whether it was given up here."""
        return self._is_cancelled or self._ended.cancelled()

    def done(self) -> bool:
        """Whether it has ended."""
        return self._is_cancelled or self._ended.done()

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Has a function called with this when it has ended."""
        self._ended.add_done_callback(lambda _: callback(self))

    def time_remaining(self) -> float | None:
        """Seconds until its deadline; None where it has none."""
        return None if self._end == math.inf else max(self._end - time.monotonic(), 0.0)

    async def code(self) -> grpc.StatusCode:
        """The status, once it has ended."""
        error = await self._error()
        return grpc.StatusCode.OK if error is None else error.code()

    async def details(self) -> str:
        """The status' text, once it has ended."""
        error = await self._error()
        return "" if error is None else error.details() or ""

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """Empty: ttrpc has none."""
        return grpc.aio.Metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """A google.rpc.Status, where the call has failed with one, under `grpc-status-details-bin`."""
        error = await self._error()
        return grpc.aio.Metadata() if error is None else error.trailing_metadata()

    async def wait_for_connection(self) -> None:
        """Returns at once: the connection is always there."""

    async def _error(self) -> grpc.aio.AioRpcError | None:
        await asyncio.wait([self._ended])
        error = self._failure()
        if error is None or isinstance(error, grpc.aio.AioRpcError):
            return error
        return _as_grpc(CallError(Code.CANCELLED, "the call was cancelled"))

    async def _of(self, answer: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Awaits what the call answers. Raises what it has failed with; who is cancelled gives the call up."""
        try:
            return await answer
        except CallError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _fail(self, error: CallError) -> NoReturn:
        raise (asyncio.CancelledError() if self._is_cancelled else self._failure() or _as_grpc(error)) from None


class UnaryCall(_Call, grpc.aio.UnaryUnaryCall[Any, Any]):
    """A call of one request and one response, which `await` answers."""

    def __init__(
        self, connection: HostConnection, rpc: StreamRpc, request: Any, seconds: float, metadata: Metadata
    ) -> None:
        self._task = start_task(functools.partial(_ask, connection, rpc, rpc.encode(request), seconds, metadata))
        # Whether or not somebody awaits it.
        self._task.add_done_callback(_retrieve)
        super().__init__(self._task, time.monotonic() + seconds)

    def _failure(self) -> BaseException | None:
        if self._task.cancelled():
            return asyncio.CancelledError()
        error = self._task.exception()
        return _as_grpc(error) if isinstance(error, CallError) else error

    def _give_up(self) -> None:
        self._task.cancel()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._of(self._answer()).__await__()

    async def _answer(self) -> Any:
        return await self._task


async def _ask(connection: HostConnection, rpc: StreamRpc, payload: bytes, seconds: float, metadata: Metadata) -> Any:
    response = await connection.call_async(rpc.service, rpc.name, payload, seconds, metadata)
    try:
        return rpc.read(response)
    except Exception:
        raise CallError(Code.INTERNAL, "Exception deserializing response!") from None


class _StreamCall(_Call):
    """What calls have that stream. One that nobody holds any more is cancelled: unread, it would hold up all others."""

    def __init__(self, stream: ClientStream, requests: Requests | None) -> None:
        self._stream = stream
        self._feeding: asyncio.Task[None] | None = None
        super().__init__(stream.ended, stream.end)
        if requests is not None:
            self._feeding = feeding = start_task(functools.partial(_feed, stream, requests))
            stream.ended.add_done_callback(lambda _: feeding.cancel())

    def _failure(self) -> BaseException | None:
        feeding = self._feeding
        if feeding is not None and feeding.done() and not feeding.cancelled() and feeding.exception() is not None:
            return feeding.exception()
        error = self._stream.error
        return None if error is None else _as_grpc(error)

    def _give_up(self) -> None:
        self._stream.cancel()

    def __del__(self) -> None:
        self._stream.abandon()


class _Asking(_StreamCall):
    """What calls have that take many requests."""

    async def write(self, request: Any) -> None:
        """Sends a request, and waits while the host takes none."""
        self._refuse_both()
        await self._of(self._stream.send(request))

    async def done_writing(self) -> None:
        """Says that there are no more requests."""
        self._refuse_both()
        await self._of(self._stream.close())

    def _refuse_both(self) -> None:
        if self._feeding is not None:
            raise grpc.aio.UsageError("the call was given all of its requests, nothing more can be written")


class _Answering(_StreamCall):
    """What calls have that are answered by many responses."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self._of(self._stream.__anext__())

    async def read(self) -> Any:
        """The next response; `grpc.aio.EOF` after the last."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return grpc.aio.EOF


class ServerStreamCall(_Answering, grpc.aio.UnaryStreamCall[Any, Any]):
    """A call of one request and many responses."""


class ClientStreamCall(_Asking, grpc.aio.StreamUnaryCall[Any, Any]):
    """A call of many requests and one response, which `await` answers."""

    _answers: tuple[Any, ...] = ()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._of(self._answer()).__await__()

    async def _answer(self) -> Any:
        if not self._answers:
            self._answers = (await self._stream.__anext__(),)
        return self._answers[0]


class BidiCall(_Asking, _Answering, grpc.aio.StreamStreamCall[Any, Any]):
    """A call of many requests and many responses."""


async def _feed(stream: ClientStream, requests: Requests) -> None:
    try:
        if isinstance(requests, AsyncIterable):
            async for request in requests:
                await stream.send(request)
        else:
            for request in requests:
                await stream.send(request)
        await stream.close()
    except CallError:
        # Whoever awaits an answer is told.
        pass
    except Exception:
        # And so of this.
        stream.cancel()
        raise


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


def _as_grpc(error: CallError) -> grpc.aio.AioRpcError:
    trailers = grpc.aio.Metadata(*([(STATUS_KEY, error.status)] if error.status else []))
    return grpc.aio.AioRpcError(error.code.grpc, grpc.aio.Metadata(), trailers, details=error.details)
