"""What comes in the streams of a connection and waits for its readers, within bounds.

A connection has no flow control but the socket's, which is that of all its calls at once. So where a reader leaves too
much, nothing more is read for a moment; a stream that is still not read then is given up, since all others wait for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Callable

from .._loops import EventLoop
from .._status import CallError

#: Messages of one stream that wait for their reader, as containerd's ttrpc has it.
WINDOW = 64

#: Seconds for which a connection waits for the reader of a stream that has more.
PATIENCE = 1.0


class Backlog:
    """What waits for readers on one connection: WINDOW messages a stream, and `limit` bytes in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._bytes = 0
        self._filled: dict[Inbox, None] = {}
        self._overfull: dict[Inbox, None] = {}

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be read of the connection."""
        return bool(self._overfull) or self._bytes > self._limit

    def wait_for_room(self, seconds: float | None = None) -> bool:
        """Waits while there is too much, so long at most; whether there is room. For who reads the connection.

        A stream that keeps it waiting for longer than PATIENCE is given up.
        """
        while self.is_full:
            wait = PATIENCE if seconds is None else min(seconds, PATIENCE)
            with self._changed:
                if self._changed.wait_for(lambda: not self.is_full, wait):
                    return True
                if wait < PATIENCE:
                    return False
                blamed = next(iter(self._overfull), None) or max(self._filled, key=lambda inbox: inbox.size)
            blamed.overflow()
        return True

    def add(self, inbox: Inbox, message: bytes) -> None:
        """Keeps a message for an inbox."""
        with self._changed:
            if inbox.is_dropped:
                return
            inbox.messages.append(message)
            inbox.size += len(message)
            self._bytes += len(message)
            self._filled[inbox] = None
            if len(inbox.messages) > WINDOW:
                self._overfull[inbox] = None

    def take(self, inbox: Inbox) -> bytes | None:
        """The next message of an inbox; None where there is none."""
        if not inbox.messages:
            return None
        with self._changed:
            if not inbox.messages:
                return None
            was_full = self.is_full
            message = inbox.messages.popleft()
            inbox.size -= len(message)
            self._bytes -= len(message)
            self._settle(inbox, was_full)
        return message

    def drop(self, inbox: Inbox) -> None:
        """Forgets the messages of an inbox, and those that come."""
        with self._changed:
            was_full = self.is_full
            inbox.is_dropped = True
            inbox.messages.clear()
            self._bytes -= inbox.size
            inbox.size = 0
            self._settle(inbox, was_full)

    def _settle(self, inbox: Inbox, was_full: bool) -> None:
        if not inbox.messages:
            self._filled.pop(inbox, None)
        if len(inbox.messages) <= WINDOW:
            self._overfull.pop(inbox, None)
        if was_full and not self.is_full:
            self._changed.notify_all()


class Inbox:
    """What comes in one stream, for one coroutine at a time on the loop `home`.

    `give_up` is called when nobody reads it; what has come is forgotten then.
    """

    def __init__(self, backlog: Backlog, home: EventLoop, give_up: Callable[[], object]) -> None:
        #: The backlog's.
        self.messages: deque[bytes] = deque()
        self.size = 0
        self.is_dropped = False
        self._taken = 0
        self._backlog = backlog
        self._home = home
        self._give_up = give_up
        self._reader: asyncio.Future[None] | None = None
        self._error: CallError | None = None
        #: Whether nothing more comes.
        self.has_ended = False

    def push(self, message: bytes) -> None:
        """A message has come. For who reads the connection."""
        self._backlog.add(self, message)
        if self._reader is not None:
            self._home.post(self._wake)

    def end(self, error: CallError | None = None) -> None:
        """Nothing more comes, and why if it is an error; what has come before can be received. For any thread."""
        self._error = self._error or error
        self.has_ended = True
        if self._reader is not None:
            self._home.post(self._wake)

    def drop(self) -> None:
        """Forgets what has come. For any thread."""
        self._backlog.drop(self)

    def overflow(self) -> None:
        """Nobody reads it."""
        self.drop()
        self._give_up()

    async def receive(self) -> bytes | None:
        """The next message; None after the last. Raises the CallError that it has ended with."""
        self._taken += 1
        if not self._taken % WINDOW:
            # So that others run on the loop, however fast messages come.
            await asyncio.sleep(0)
        message = self._backlog.take(self)
        if message is not None:
            return message
        if self._reader is not None:
            raise RuntimeError("the messages of this stream are read by another coroutine")
        try:
            while True:
                # First this: what comes from here on wakes it.
                self._reader = self._home.loop.create_future()
                has_ended = self.has_ended
                message = self._backlog.take(self)
                if message is not None:
                    return message
                if has_ended:
                    if self._error is not None:
                        raise self._error
                    return None
                await self._reader
        finally:
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
