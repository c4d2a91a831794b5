"""Threads that take turns at leading: who leads reads, and runs what it has read itself.

To hand every call to another thread costs more than most handlers take. So the leader runs a handler where it is, and
only when that takes long is the lead passed to another thread, by one that watches.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from typing import Callable, Protocol

from ..logs import own_logger

_log = own_logger("effect_plugin")

#: Seconds after which a handler that waits for something has the lead taken from it.
_PATIENCE = 0.002

#: The same for one that computes: only one thread at a time does, so that another one gets nothing done sooner.
_COMPUTING_PATIENCE = 0.02

#: The same for one that has not begun: who reads meanwhile might begin the next one first. First calls load much.
_BEGINNING_PATIENCE = 1.0

#: Looks without anything to see after which the watching thread sleeps until it is woken: each look costs others a
#: moment, and to wake it costs who does that another one.
_LOOKS = 8


class Work(Protocol):
    """What a thread is for."""

    @property
    def has_begun(self) -> bool:
        """Whether code of the author's runs, or has run."""
        raise NotImplementedError

    def run(self) -> None:
        """Does it."""


class Lead:
    """The right to read. Whoever holds the one that counts leads."""


class Outside(Protocol):
    """Who leads in place of the threads, and runs nothing for them."""

    def take(self, lead: Lead) -> None:
        """Begins to lead. For any thread, with the lock held."""

    def lost(self) -> None:
        """A thread has taken the lead. For any thread, with the lock held."""

    def has_unread(self) -> bool:
        """Whether there is something to read."""
        raise NotImplementedError


class Threads:
    """So many threads that run handlers at once, and one more that leads, or another one outside.

    `lead` is called on a thread that has begun to lead, and returns when it does no longer. `done` is called on each
    thread that has run something without leading, and by the thread that watches, as long as there is work: what holds
    up who leads must not keep what has been done before from being told. `look` is called by that thread, when a time
    comes that it was told with `watch`; it answers the next one.
    """

    def __init__(
        self, count: int, lead: Callable[[Lead], None], done: Callable[[], None], look: Callable[[float], float]
    ) -> None:
        self._count = count
        self._lead_on = lead
        self._done = done
        self._look = look
        self._lock = threading.Lock()
        self._lead = Lead()
        self._outside: Outside | None = None
        #: Whether that leads, reads just now, and would like to lead.
        self._leads_outside = self._reads_outside = self._is_wanted = False
        #: Since when the leader runs a handler, and what it runs.
        self._since: float | None = None
        self._runs: Work | None = None
        self._begun = 0
        self._busy = 0
        self._coming = 0
        self._resting = 0
        self._started = 0
        self._waiting: deque[Work] = deque()
        self._roles: queue.SimpleQueue[Lead | bool] = queue.SimpleQueue()
        self._lacks_threads = False
        self._closed = False
        self._next_look = math.inf
        self._sleeps = False
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()

    def start(self, outside: Outside | None = None) -> None:
        """Begins to lead and to watch."""
        with self._lock:
            self._outside = outside
            if outside is not None:
                self._leads_outside = True
                outside.take(self._lead)
            elif not self._bring_in(self._lead):
                raise RuntimeError("no thread can be started")
        threading.Thread(target=self._watch, name="ttrpc-watch", daemon=True).start()

    def close(self) -> None:
        """Ends the threads, each as soon as its handler has returned."""
        self._closed = True
        self._wakes.put(None)
        for _ in range(self._started):
            self._roles.put(False)

    # -- for the leader ------------------------------------------------------------------------------------------------

    def leads(self, lead: Lead) -> bool:
        """Whether this is the lead that counts."""
        return self._lead is lead and not self._closed

    # -- where somebody leads who is none of the threads ---------------------------------------------------------------

    def enter_outside(self, lead: Lead) -> bool:
        """Whoever leads outside begins to read, if that has the lead still: until `leave_outside` nobody takes it."""
        with self._lock:
            if not self.leads(lead):
                return False
            self._begun += 1
            self._reads_outside = True
        if self._sleeps:
            self._wake()
        return True

    def leave_outside(self) -> None:
        """Whoever leads outside has read what there was."""
        self._reads_outside = False

    def take_from_outside(self) -> bool:
        """Has a thread lead in place of who leads outside; whether one does. For any thread."""
        with self._lock:
            if not self._leads_outside or self._outside is None or self._closed:
                return True
            if self._reads_outside:
                return False
            before, self._lead = self._lead, Lead()
            if not self._bring_in(self._lead):
                self._lead = before
                return False
            self._leads_outside = False
            self._outside.lost()
            return True

    def give_back(self) -> None:
        """Has the outside lead again, as soon as the thread that leads has done what it has read. For any thread."""
        self._is_wanted = True

    def has_given_back(self, lead: Lead) -> bool:
        """For the leader that has nothing left to do: whether it leads no more, since the outside does."""
        if not self._is_wanted:
            return False
        with self._lock:
            self._is_wanted = False
            if self._outside is None or self._lead is not lead or self._closed:
                return False
            self._lead = Lead()
            self._leads_outside = True
            self._outside.take(self._lead)
            return True

    @property
    def waiting(self) -> Work | None:
        """What the leader is to do first, if it may."""
        if self._waiting:
            with self._lock:
                if self._waiting and self._busy < self._count:
                    return self._waiting.popleft()
        return None

    def run(self, lead: Lead, work: Work, now: float) -> bool:
        """Does it here, or has it done when a thread is free. Whether the caller leads still."""
        with self._lock:
            if self._busy >= self._count:
                self._waiting.append(work)
                return True
            self._busy += 1
            self._begun += 1
            self._since = now
            self._runs = work
        if self._sleeps:
            self._wake()
        work.run()
        with self._lock:
            self._busy -= 1
            if self._lead is lead:
                self._since = self._runs = None
                return not self._closed
        self._done()
        return False

    def hand(self, work: Work) -> None:
        """Has something done on a thread. For any thread."""
        with self._lock:
            self._waiting.append(work)
            if self._busy + self._coming < self._count and self._bring_in(None):
                self._coming += 1

    # -- the threads ---------------------------------------------------------------------------------------------------

    def _bring_in(self, lead: Lead | None) -> bool:
        """Has a thread lead, or work off what waits; whether one could be had. With the lock held."""
        if self._resting:
            self._resting -= 1
            self._roles.put(lead or True)
            return True
        thread = threading.Thread(target=self._be, args=(lead or True,), name=f"hook-{self._started}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._lacks_threads:
                self._lacks_threads = True
                _log.error("no thread can be started for handlers, which wait for each other now: %s", error)
            return False
        self._started += 1
        return True

    def _be(self, role: Lead | bool) -> None:
        while role:
            if isinstance(role, Lead):
                self._lead_on(role)
            else:
                with self._lock:
                    self._coming -= 1
            self._work_off()
            with self._lock:
                self._resting += 1
            role = self._roles.get()

    def _work_off(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._busy >= self._count:
                    return
                work = self._waiting.popleft()
                self._busy += 1
            try:
                work.run()
            finally:
                with self._lock:
                    self._busy -= 1
            self._done()
            del work

    # -- who watches ---------------------------------------------------------------------------------------------------

    def watch(self, when: float) -> None:
        """Has `look` called at this time, by the monotonic clock, or before. For any thread."""
        if when < self._next_look:
            with self._lock:
                self._next_look = min(self._next_look, when)
            if self._sleeps:
                self._wake()

    def _wake(self) -> None:
        self._sleeps = False
        self._wakes.put(None)

    def _watch(self) -> None:
        looks, begun, computed = 0, -1, time.process_time()
        last = time.monotonic()
        unread_since: float | None = None
        while not self._closed:
            if looks < _LOOKS:
                time.sleep(_PATIENCE)
            else:
                self._sleep(begun)
                looks = 0
            now, used = time.monotonic(), time.process_time()
            computes = used - computed > (now - last) / 2
            last, computed = now, used
            patience = _COMPUTING_PATIENCE if computes else _PATIENCE
            since = self._since
            if since is not None and now - since >= patience:
                self._pass_on(since, now)
            if self._outside is not None:
                unread_since = self._looked_outside(begun, now, patience, unread_since)
            looks = 0 if since is not None or self._begun != begun else looks + 1
            begun = self._begun
            self._done()
            if now >= self._next_look:
                self._look_now(now)

    def _sleep(self, begun: int) -> None:
        self._sleeps = True
        # Whoever begins after this wakes it, and who has begun since the last look did not.
        if self._since is None and self._begun == begun and not self._closed:
            wait = self._next_look - time.monotonic()
            try:
                if wait > 0:
                    self._wakes.get(timeout=min(wait, threading.TIMEOUT_MAX))
            except queue.Empty:
                pass
        self._sleeps = False

    def _looked_outside(self, begun: int, now: float, patience: float, since: float | None) -> float | None:
        """Since when who leads outside has not got to what there is to read."""
        if not self._leads_outside or self._begun != begun or self._outside is None or not self._outside.has_unread():
            return None
        if since is not None and now - since >= patience:
            self.take_from_outside()
            return None
        return now if since is None else since

    def _pass_on(self, since: float, now: float) -> None:
        with self._lock:
            if self._since != since or self._runs is None:
                return
            if self._runs.has_begun or now - since >= _BEGINNING_PATIENCE:
                # The thread begins to lead before it is known that it has been started.
                before, self._lead = self._lead, Lead()
                if self._bring_in(self._lead):
                    self._since = self._runs = None
                else:
                    self._lead = before

    def _look_now(self, now: float) -> None:
        with self._lock:
            self._next_look = math.inf
        found = self._look(now)
        with self._lock:
            self._next_look = min(self._next_look, found)
