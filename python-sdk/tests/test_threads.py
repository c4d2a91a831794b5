"""Threads for sync handlers: who is answered when, while others wait for the same thread."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable

import pytest

from effect_plugin._loops import EventLoop
from effect_plugin._threads import HandlerThreads

from .conftest import LIMIT


def on_one_thread(use: Callable[[HandlerThreads], Any]) -> Any:
    async def used() -> Any:
        threads = HandlerThreads("test", 1)
        try:
            return await asyncio.wait_for(use(threads), LIMIT)
        finally:
            threads.close()

    return asyncio.run(used())


def test_an_answer_does_not_wait_for_the_handler_behind_it() -> None:
    gate, end = threading.Event(), threading.Event()

    async def use(threads: HandlerThreads) -> None:
        first, second = threads.submit(gate.wait), threads.submit(end.wait)
        gate.set()
        try:
            assert await first
            assert not second.done()
        finally:
            end.set()
        assert await second

    on_one_thread(use)


def test_answers_that_follow_each_other_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    wakes: list[object] = []
    wake = EventLoop._wake

    def counted(self: EventLoop) -> None:
        wakes.append(self)
        wake(self)

    async def use(threads: HandlerThreads) -> list[Any]:
        answers = [threads.submit(gate.wait), *(threads.submit(int, number) for number in range(10))]
        monkeypatch.setattr(EventLoop, "_wake", counted)
        gate.set()
        return await asyncio.gather(*answers)

    assert on_one_thread(use) == [True, *range(10)]
    assert len(wakes) == 1


def test_a_handler_that_fails_wakes_the_loop_as_well() -> None:
    async def use(threads: HandlerThreads) -> None:
        with pytest.raises(ValueError, match="invalid literal"):
            await threads.submit(int, "x")

    on_one_thread(use)
