"""What is written in one turn of the loop is sent as one piece, in order, and nothing of it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Callable

from effect_plugin._serving.corked import Corked


class Sent:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def writelines(self, lines: Iterable[bytes]) -> None:
        self.done.append(b"".join(lines))

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


def test_a_small_write_goes_with_the_next() -> None:
    assert sent(lambda corked: [corked.write(b"head"), corked.write(b""), corked.write(b"body")]) == [b"headbody"]
    assert sent(lambda corked: corked.writelines([b"1", b"2", b"3"])) == [b"12", b"3"]


def test_one_by_itself_goes_when_the_loop_goes_on() -> None:
    assert sent(lambda corked: corked.write(b"head")) == [b"head"]


def test_large_ones_go_at_once_with_what_waits() -> None:
    large = b"x" * 65_536
    seen: list[int] = []

    def write(corked: Any) -> None:
        for piece in (large, b"head", large, large):
            corked.write(piece)
            seen.append(len(corked._transport.done))

    assert sent(write) == [large, b"head" + large, large]
    assert seen == [1, 1, 2, 3]


def test_what_waits_goes_before_the_end() -> None:
    assert sent(lambda corked: [corked.write(b"all"), corked.close()]) == [b"all", "close"]
    assert sent(lambda corked: [corked.write(b"all"), corked.write_eof()]) == [b"all", "eof"]
