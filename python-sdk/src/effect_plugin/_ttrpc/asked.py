"""Calls that the plugin makes of its host and that are not answered yet, by who waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from .._loops import EventLoop
from .._status import CallError, Code
from . import wire
from .frames import FrameWriter

#: Requests that are sent together, where more are to come: the host answers these meanwhile.
_TOGETHER = 16

Metadata = Iterable[tuple[str, str]]


class Pending:
    """A call that is not answered yet."""

    #: The response's payload, once it has come.
    payload: bytes | None = None
    error: CallError | None = None
    #: Its stream, once its turn has come.
    stream: int | None = None
    #: Of the frame that opens its stream; there are none unless messages follow it, either way.
    flags = 0

    @property
    def is_done(self) -> bool:
        """Whether it has been answered."""
        return self.payload is not None or self.error is not None

    def wake(self) -> None:
        """Tells who waits."""
        raise NotImplementedError

    def begun(self) -> None:
        """Its turn has come. For any thread, with the connection's lock held."""

    def receive(self, message: bytes | None, *, is_last: bool) -> None:
        """A message of its stream has come, if it is one, or the word that none follows. For who reads."""
        self.error = CallError(Code.INTERNAL, "the host has answered by messages, which this call does not take")

    def result(self) -> bytes:
        """What it has been answered."""
        if self.error is not None:
            raise self.error
        assert self.payload is not None
        return self.payload


class Asked(NamedTuple):
    """What a call asks, and until when."""

    service: str
    method: str
    payload: bytes
    metadata: Metadata
    end: float

    def data(self) -> bytes:
        """The data of its first frame, which says how long it has from now on."""
        seconds = max(self.end - time.monotonic(), 0)
        return wire.request(self.service, self.method, self.payload, seconds, self.metadata)


class OnThread(Pending):
    """One for which a thread waits, which may be made to read."""

    def __init__(self) -> None:
        self._woken = threading.Lock()
        self._woken.acquire()
        self.leads = False

    def wake(self) -> None:
        """See `Pending`."""
        # It may have been woken to read, and not have come to it.
        with contextlib.suppress(RuntimeError):
            self._woken.release()

    def wait(self, seconds: float) -> None:
        """Waits until it is woken, so many seconds at most."""
        self._woken.acquire(timeout=min(max(seconds, 0), threading.TIMEOUT_MAX))


class OnLoop(Pending):
    """One for which a coroutine waits."""

    def __init__(self, calls: LoopCalls, end: float) -> None:
        self._calls = calls
        self.end = end
        self.answer: asyncio.Future[None] = calls.loop.create_future()

    def wake(self) -> None:
        """See `Pending`."""
        self._calls.home.post(self.is_over)

    def is_over(self) -> None:
        """It has been answered, or its time is over. On its loop."""
        if not self.answer.done():
            self.answer.set_result(None)


class Watched(Protocol):
    """What ends in time."""

    #: By the monotonic clock.
    end: float

    def is_over(self) -> None:
        """Its time is over. On its loop."""


class LoopCalls:
    """The calls of one loop's coroutines: one timer watches them, and what is asked in one turn is sent together."""

    def __init__(self, home: EventLoop, writer: FrameWriter) -> None:
        self.home = home
        self._writer = writer
        self._waiting: set[Watched] = set()
        self._flushes = False
        self._due = math.inf

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop itself."""
        return self.home.loop

    def add(self, pending: Watched) -> None:
        """Watches over a call that has been put on its way."""
        self._waiting.add(pending)
        self._watch(pending.end)
        self.flush_soon()

    def flush_soon(self) -> None:
        """Sends what has been put, with what else is asked in this turn. On the loop."""
        if self._writer.count >= _TOGETHER:
            self._writer.flush()
        elif not self._flushes:
            self._flushes = True
            self.loop.call_soon(self._flush)

    def remove(self, pending: Watched) -> None:
        """Watches over it no more."""
        self._waiting.discard(pending)

    def _flush(self) -> None:
        self._flushes = False
        self._writer.flush()

    def _watch(self, end: float) -> None:
        if end < self._due:
            self._due = end
            # Whoever kept the timer would keep the loop.
            self.loop.call_later(min(max(end - time.monotonic(), 0), threading.TIMEOUT_MAX), self._look)

    def _look(self) -> None:
        now, self._due = time.monotonic(), math.inf
        for pending in self._waiting:
            if pending.end <= now:
                pending.is_over()
        self._watch(min((each.end for each in self._waiting if each.end > now), default=math.inf))
