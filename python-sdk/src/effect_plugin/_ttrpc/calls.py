"""Calls that a host has made over ttrpc and that are not answered yet."""

from __future__ import annotations

import asyncio
import functools
import math
import operator
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from .._descriptors import message_class
from .._loops import EventLoop, start_task
from .._status import CallError, Code
from ..logs import own_logger
from . import wire

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

    from .server import Server

_log = own_logger("effect_plugin")


class ServerCall:
    """One call. It is ended once: who takes it out of the server's list does."""

    #: When it is to be looked at, by the monotonic clock.
    expires = math.inf

    def __init__(self, server: Server, stream: int, asked: Any) -> None:
        self.server = server
        self.stream = stream
        self._asked = asked
        seconds = wire.seconds_of(asked)
        #: When its caller waits no longer.
        self.end = math.inf if seconds is None else time.monotonic() + seconds

    @property
    def has_begun(self) -> bool:
        """Whether code of the author's runs, or has run."""
        raise NotImplementedError

    def begin(self) -> bool:
        """Begins, on the thread that leads, which it must not hold up; whether `run` is to be called."""
        raise NotImplementedError

    def run(self) -> None:
        """Goes on, on a thread for handlers."""
        raise NotImplementedError

    def start(self) -> None:
        """Goes on, on the loop that it has been handed to."""
        raise NotImplementedError

    def receive(self, message: bytes | None, *, is_last: bool) -> str | None:
        """A message of its stream has come, if it is one, or the word that none follows. For the leader.

        Answers what is wrong with that.
        """
        return "data, which this call does not take"

    def expire(self, now: float) -> None:
        """Its time has come. For the thread that watches."""
        self.server.fail(self, Code.DEADLINE_EXCEEDED, "Deadline Exceeded")

    def cancel(self) -> None:
        """Nobody waits for it any more. For any thread."""

    # -- as the functions of services see it ---------------------------------------------------------------------------

    def invocation_metadata(self) -> list[tuple[str, str]]:
        """What came along with the call."""
        return [(each.key, each.value) for each in self._asked.metadata]

    def time_remaining(self) -> float | None:
        """Seconds that its caller waits still; None for as long as it takes."""
        return None if self.end == math.inf else max(self.end - time.monotonic(), 0.0)


#: Makes the call of one rpc, by the server, the stream and the request.
Route = Callable[["Server", int, Any], ServerCall]


class Rpc(NamedTuple):
    """An rpc, and the coroutine function that serves it on a loop.

    The function is given a request, or an iterator of them, and the call. It answers a response, or `write`s responses
    to the call.
    """

    home: EventLoop
    function: Callable[[Any, Any], Awaitable[Any]]
    read: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    takes_stream: bool = False
    answers_stream: bool = False

    @classmethod
    def of(cls, home: EventLoop, method: MethodDescriptor, function: Callable[..., Any]) -> Rpc:
        """The one of a service's."""
        described: Any = method
        read, encode = message_class(method.input_type).FromString, operator.methodcaller("SerializeToString")
        return cls(home, function, read, encode, described.client_streaming, described.server_streaming)

    @property
    def route(self) -> Route:
        """The route to it."""
        if not (self.takes_stream or self.answers_stream):
            return functools.partial(CoroutineCall, self)
        # Few plugins have streams.
        from .stream_calls import StreamCall

        return functools.partial(StreamCall, self)


class CoroutineCall(ServerCall):
    """A call that a coroutine function of a service answers, on a loop."""

    def __init__(self, rpc: Rpc, server: Server, stream: int, asked: Any) -> None:
        super().__init__(server, stream, asked)
        self._rpc = rpc
        self._task: asyncio.Task[Any] | None = None

    def begin(self) -> bool:
        self.expires = self.end
        self.server.watch(self)
        self.server.on_loop(self._rpc.home, self)
        return False

    def start(self) -> None:
        if self.server.has(self):
            self._task = start_task(self._work)

    async def _work(self) -> None:
        try:
            await self._answer()
        except CallError as error:
            self.server.fail(self, error.code, error.details, error.status)
        except asyncio.CancelledError:
            # Mostly it has ended already.
            self.server.fail(self, Code.CANCELLED, "the call was cancelled")
            raise
        except Exception as error:
            _log.exception("a call has failed: %s/%s", self._asked.service, self._asked.method)
            self.server.fail(self, Code.UNKNOWN, f"Unexpected {type(error)}")
        finally:
            self.server.flush()

    def _request(self, message: bytes) -> Any:
        try:
            return self._rpc.read(message)
        except Exception:
            raise CallError(Code.INVALID_ARGUMENT, "Exception deserializing request!") from None

    async def _answer(self) -> None:
        response = await self._rpc.function(self._request(self._asked.payload), self)
        self.server.succeed(self, self._rpc.encode(response))

    def cancel(self) -> None:
        self._rpc.home.post(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def expire(self, now: float) -> None:
        super().expire(now)
        self.cancel()
