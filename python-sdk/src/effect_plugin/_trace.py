"""Trace context (W3C): what a handler asks of the host becomes part of the trace of the hook that it handles."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

_TRACEPARENT = "traceparent"

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def enter(metadata: Iterable[tuple[str, Any]] | None) -> None:
    """Takes over the trace of a call, for whatever runs in its context from here."""
    for key, value in metadata or ():
        if key == _TRACEPARENT:
            _current.set(value)


def metadata() -> list[tuple[str, str]]:
    """What a call of the host API says of the trace it belongs to."""
    traceparent = _current.get()
    return [] if traceparent is None else [(_TRACEPARENT, traceparent)]
