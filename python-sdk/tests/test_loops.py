"""What one thread hands to another one's event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator

import pytest

from effect_plugin._loops import EventLoop, on_thread

from .conftest import LIMIT


@pytest.fixture
def other() -> Iterator[EventLoop]:
    before = threading.active_count()
    with on_thread("other", asyncio.new_event_loop) as loop:
        own = loop.loop
        yield loop
    assert threading.active_count() == before
    assert own.is_closed()


def test_all_is_called_in_the_order_of_each_thread(other: EventLoop) -> None:
    seen: list[tuple[int, int]] = []

    def post(thread: int) -> None:
        for number in range(1000):
            other.post(seen.append, (thread, number))

    threads = [threading.Thread(target=post, args=[thread]) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    asked = threading.Event()
    other.post(asked.set)
    assert asked.wait(LIMIT)
    for thread_number in range(4):
        assert [number for thread, number in seen if thread == thread_number] == list(range(1000))


def test_one_that_fails_does_not_keep_the_others_from_being_called(other: EventLoop) -> None:
    other.loop.set_exception_handler(lambda loop, context: None)
    called = threading.Event()
    held = threading.Event()
    other.post(held.wait, LIMIT)
    other.post([].pop)
    other.post(called.set)
    held.set()
    assert called.wait(LIMIT)


def test_a_coroutine_answers_raises_and_exits_to_who_awaits_it(other: EventLoop) -> None:
    variable = contextvars.ContextVar("variable", default="")

    async def answer(text: str) -> tuple[str, str, bool]:
        await asyncio.sleep(0)
        return text, variable.get(), asyncio.get_running_loop() is other.loop

    async def fail(error: BaseException) -> None:
        raise error

    async def main() -> None:
        variable.set("of the caller")
        assert await other.run(answer, "x") == ("x", "of the caller", True)
        for error in (ValueError("x"), SystemExit(3), StopAsyncIteration()):
            with pytest.raises(type(error)):
                await other.run(fail, error)
        with pytest.raises(asyncio.CancelledError):
            await other.run(fail, asyncio.CancelledError())
        assert await other.run(answer, "still there") == ("still there", "of the caller", True)
        # On the loop itself no other one is in the way.
        assert await EventLoop.here().run(current_task) is asyncio.current_task()

    async def current_task() -> object:
        return asyncio.current_task()

    asyncio.run(main())


def test_a_coroutine_is_cancelled_with_who_awaits_it(other: EventLoop) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            cancelled.set()

    async def main() -> None:
        waiting = asyncio.ensure_future(other.run(wait))
        await asyncio.get_running_loop().run_in_executor(None, begun.wait, LIMIT)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    assert cancelled.wait(LIMIT)


def test_what_is_cancelled_before_its_turn_never_begins(other: EventLoop) -> None:
    held = threading.Event()
    begun = []

    async def begin() -> None:
        begun.append(True)

    async def main() -> None:
        other.post(held.wait, LIMIT)
        waiting = asyncio.ensure_future(other.run(begin))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        held.set()
        await other.run(asyncio.sleep, 0)

    asyncio.run(main())
    assert begun == []


def test_a_loop_that_has_ended_takes_nothing_and_says_nothing() -> None:
    with on_thread("other", asyncio.new_event_loop) as loop:
        pass
    loop.post(print, "never")
