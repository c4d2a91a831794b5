"""Threads that take turns at leading: what they begin, and in which order."""

from __future__ import annotations

import math
import threading
import time
from typing import Callable

import pytest

from effect_plugin._ttrpc import leading
from effect_plugin._ttrpc.leading import Lead, Threads

from .conftest import LIMIT

#: Seconds that are many times as long as a handler may take before another thread leads.
LONG = 0.05


class _Work:
    """A handler that does something before it begins, and something then."""

    def __init__(self, before: Callable[[], object], then: Callable[[], object]) -> None:
        self.has_begun = False
        self._before = before
        self._then = then

    def run(self) -> None:
        """Does both."""
        self._before()
        self.has_begun = True
        self._then()


def _running(*works: _Work) -> Threads:
    """Threads of which whoever leads runs one handler after the other."""
    left = list(works)

    def lead(mine: Lead) -> None:
        while left and threads.run(mine, left.pop(0), time.monotonic()):
            pass

    threads = Threads(4, lead, lambda: None, lambda now: math.inf)
    threads.start()
    return threads


def test_what_is_slow_to_begin_begins_before_what_has_come_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "_BEGINNING_PATIENCE", LIMIT)
    begun: list[str] = []
    second = threading.Event()

    def begin_first() -> None:
        begun.append("first")
        second.wait(LIMIT)

    def begin_second() -> None:
        begun.append("second")
        second.set()

    threads = _running(_Work(lambda: second.wait(LONG), begin_first), _Work(int, begin_second))
    try:
        assert second.wait(LIMIT), "while the first waits another thread begins the second"
        assert begun == ["first", "second"]
    finally:
        threads.close()


def test_what_does_not_begin_keeps_the_others_from_it_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "_BEGINNING_PATIENCE", LONG)
    second = threading.Event()
    threads = _running(_Work(lambda: second.wait(LIMIT), int), _Work(int, second.set))
    try:
        assert second.wait(LIMIT / 2)
    finally:
        threads.close()


class _Loop:
    """One that leads in place of the threads."""

    lead: Lead

    def take(self, lead: Lead) -> None:
        """Leads."""
        self.lead = lead

    def lost(self) -> None:
        """Leads no more."""

    def has_unread(self) -> bool:
        """Has read everything."""
        return False


def test_what_is_done_is_told_while_something_holds_up_who_leads() -> None:
    told = threading.Event()
    loop = _Loop()
    threads = Threads(4, lambda lead: None, told.set, lambda now: math.inf)
    threads.start(loop)
    try:
        assert threads.enter_outside(loop.lead)
        threads.leave_outside()
        assert told.wait(LIMIT), "whatever the loop does now"
    finally:
        threads.close()


def test_who_watches_does_not_sleep_through_what_has_just_begun() -> None:
    loop = _Loop()
    threads = Threads(4, lambda lead: None, lambda: None, lambda now: math.inf)
    looked, resting = threading.Event(), threads._sleep

    def begin_and_sleep(begun: int) -> None:
        if looked.is_set():
            resting(begun)
        else:
            # After its last look, and before it can be woken.
            assert threads.enter_outside(loop.lead)
            threads.leave_outside()
            resting(begun)
            looked.set()

    threads._sleep = begin_and_sleep  # type: ignore[method-assign]
    threads.start(loop)
    try:
        assert looked.wait(LIMIT)
    finally:
        threads.close()
