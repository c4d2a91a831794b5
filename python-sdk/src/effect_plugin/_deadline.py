"""How long a handler has: what it asks of the host must not take longer."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar


class Deadline:
    """The time of one handler. What outlives it, such as a task that it has started, has all the time again."""

    def __init__(self, end: float) -> None:
        self._end = end

    def end(self) -> None:
        """The handler has returned."""
        self._end = math.inf

    def left(self) -> float:
        """Seconds that are left, more than none."""
        return max(self._end - time.monotonic(), 0.001)


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def enter(end: float) -> Deadline:
    """Begins a handler's time, up to then by the monotonic clock, for whatever runs in its context from here."""
    deadline = Deadline(end)
    _current.set(deadline)
    return deadline


def limited(seconds: float) -> float:
    """So many seconds, or those that the handler has left, if they are fewer."""
    deadline = _current.get()
    return seconds if deadline is None else min(seconds, deadline.left())
