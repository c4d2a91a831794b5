"""What is written in one turn of the loop is sent as one piece, in order, and nothing of it is lost."""

from __future__ import annotations

import asyncio
from typing import Any, Callable

from mattermost_plugin.serving.corked import Corked


class Sent:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")


def sent(write: Callable[[Any], object]) -> list[Any]:
    async def turn() -> list[Any]:
        transport: Any = Sent()
        write(Corked(transport))
        await asyncio.sleep(0)
        done: list[Any] = transport.done
        return done

    return asyncio.run(turn())


def test_small_writes_go_together() -> None:
    assert sent(lambda corked: [corked.write(b"head"), corked.write(b""), corked.writelines([b"bo", b"dy"])]) == [
        b"headbody"
    ]


def test_large_ones_go_at_once_behind_what_waits() -> None:
    large = b"x" * 100_000
    assert sent(lambda corked: [corked.write(b"head"), corked.write(large), corked.write(b"tail")]) == [
        b"head",
        large,
        b"tail",
    ]


def test_who_never_lets_the_loop_go_on_fills_no_memory() -> None:
    done = sent(lambda corked: [corked.write(b"x" * 1000) for _ in range(200)])
    assert sum(map(len, done)) == 200_000
    assert max(map(len, done)) <= 64 * 1024


def test_what_waits_goes_before_the_end() -> None:
    assert sent(lambda corked: [corked.write(b"all"), corked.close()]) == [b"all", "close"]
    assert sent(lambda corked: [corked.write(b"all"), corked.write_eof()]) == [b"all", "eof"]
