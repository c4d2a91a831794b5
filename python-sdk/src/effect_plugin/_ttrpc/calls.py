"""Calls that a host has made over ttrpc and that are not answered yet."""

from __future__ import annotations

import asyncio
import functools
import math
import time
from typing import TYPE_CHECKING, Any, Callable

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


class CoroutineCall(ServerCall):
    """A call that a coroutine function of a service answers, on a loop."""

    def __init__(
        self, home: EventLoop, message: Any, function: Callable[..., Any], server: Server, stream: int, asked: Any
    ) -> None:
        super().__init__(server, stream, asked)
        self._home = home
        self._message = message
        self._function = function
        self._task: asyncio.Task[Any] | None = None

    @classmethod
    def route(cls, home: EventLoop, method: MethodDescriptor, function: Callable[..., Any]) -> Route:
        """The route to such a function."""
        return functools.partial(cls, home, message_class(method.input_type), function)

    def begin(self) -> bool:
        self.expires = self.end
        self.server.watch(self)
        self._home.post(self.start)
        return False

    def start(self) -> None:
        if self.server.has(self):
            self._task = start_task(self._work)

    async def _work(self) -> None:
        try:
            response = await self._function(self._message.FromString(self._asked.payload), self)
            self.server.succeed(self, response.SerializeToString())
        except CallError as error:
            self.server.fail(self, error.code, error.details)
        except Exception as error:
            _log.exception("a call has failed: %s/%s", self._asked.service, self._asked.method)
            self.server.fail(self, Code.UNKNOWN, f"Unexpected {type(error)}")
        self.server.flush()

    def cancel(self) -> None:
        self._home.post(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def expire(self, now: float) -> None:
        super().expire(now)
        self.cancel()
