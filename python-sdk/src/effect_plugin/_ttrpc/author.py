"""The lead of the author's loop: where all handlers are coroutines, calls are read where they run."""

from __future__ import annotations

import contextlib
import select
import socket
from typing import Callable

from .. import _watchdog as watchdog
from .._loops import EventLoop
from .leading import Lead, Threads


class AuthorLead:
    """Leads on the author's loop, which spares each call the way from one thread to another.

    As soon as the loop does not get to what there is to read, one of the threads leads; when it does again, the loop.
    `read` takes what is there and waits for nothing; it answers whether no thread is needed for that. `begin` begins
    what has been taken.
    """

    def __init__(
        self,
        connection: socket.socket,
        author: EventLoop,
        threads: Threads,
        read: Callable[[], bool],
        begin: Callable[[], object],
    ) -> None:
        self._connection = connection
        self._author = author
        self._threads = threads
        self._take = read
        self._begin_taken = begin
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        watchdog.when_blocked(threads.take_from_outside)

    def take(self, lead: Lead) -> None:
        """Begins to lead. For any thread."""
        self._author.post(self._begin, lead)

    def _begin(self, lead: Lead) -> None:
        if self._threads.leads(lead):
            self._author.loop.add_reader(self._connection.fileno(), self._read, lead)

    def _read(self, lead: Lead) -> None:
        # A thread may have the lead, and wait for what there is to read.
        if not self._threads.enter_outside(lead):
            self.end()
            return
        is_done = False
        try:
            is_done = self._take()
        finally:
            self._threads.leave_outside()
        self._begin_taken()
        if not is_done and self._threads.take_from_outside():
            self.end()

    def lost(self) -> None:
        """A thread leads now. For any thread: the loop takes the lead again when it gets to it."""
        self._author.post(self._threads.give_back)

    def end(self) -> None:
        """Reads nothing more, on the loop."""
        with contextlib.suppress(RuntimeError, ValueError):
            self._author.loop.remove_reader(self._connection.fileno())

    def has_unread(self) -> bool:
        """Whether there is something to read."""
        return bool(self._poll.poll(0))
