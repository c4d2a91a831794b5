"""The plugin's side of the connection over which its host calls it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, Optional

from google.protobuf.message import DecodeError

from .._loops import EventLoop
from .._status import CallError, Code
from .._stopping import Stopping
from ..logs import own_logger
from . import wire
from .author import AuthorLead
from .calls import Route, ServerCall
from .frames import FrameReader, FrameWriter, GarbledError
from .leading import Lead, Threads
from .of_all import SERVICES, OfAll
from .wire import Frame

if TYPE_CHECKING:
    from .streams import Backlog

_log = own_logger("effect_plugin")

#: Calls that may be unanswered at once. A host that has more is answered at once.
MAX_STREAMS = 65_536

#: Seconds that calls in flight get when the plugin ends: a host waits two seconds for all of it.
_STOP_GRACE = 0.5

#: Seconds after which an answer is sent, while more calls are there that have been read with its own.
_ANSWER_PATIENCE = 0.0005

#: Answers that are sent together, where more calls are on the loop: the host goes on with these meanwhile.
_ANSWERS = 16

#: Answers the route that a request takes.
Find = Callable[[Any], Optional[Route]]

#: Half of all streams: one that is further ahead than this is behind.
_HALF = 2**31


class Server:
    """Serves calls over one socket: health and cancellation on the thread that reads, all else by its routes.

    `threads` handlers run at once that are no coroutines. `lost` is called when the connection ends by the other side.
    Where `author_leads`, it is the author's loop that reads, unless that is blocked.
    """

    def __init__(
        self,
        connection: socket.socket,
        author: EventLoop,
        stopping: Stopping,
        threads: int,
        lost: Callable[[], object],
        *,
        author_leads: bool = False,
    ) -> None:
        self._connection = connection
        self._author = author
        self._stopping = stopping
        self._lost = lost
        #: Bytes of data that a frame may have.
        self.limit = wire.frame_limit()
        self._reader = FrameReader(connection, self.limit)
        self.writer = FrameWriter(connection)
        self._threads = Threads(threads, self._lead, self.writer.flush, self._look)
        self._outside = (
            AuthorLead(connection, author, self._threads, self._read_on_author, self._begin_on_author)
            if author_leads
            else None
        )
        self._routes: dict[str, dict[str, Route]] = {}
        self._unanswered: dict[int, ServerCall] = {}
        self._frames: deque[Frame] = deque()
        self._find: Find | None = None
        self._backlog: Backlog | None = None
        #: Calls that stream and whose functions have not returned.
        self.open_streams: set[ServerCall] = set()
        self._last_stream: int | None = None
        #: Calls that have been read in this turn and go on on the author's loop.
        self._handed: list[ServerCall] = []
        #: Those that the author's loop has read itself.
        self._taken_here: list[ServerCall] = []
        self._author_flushes = False
        self._ends = False
        self._of_all = OfAll(stopping, self._cancel)
        self._author_thread = threading.get_ident()

    def add(self, service: str, routes: Mapping[str, Route]) -> None:
        """Adds a service."""
        self._routes[service] = dict(routes)

    def find_by(self, find: Find) -> None:
        """Asks this for the routes that no service has which was added."""
        self._find = find

    def start(self) -> None:
        """Begins to serve."""
        self._threads.start(self._outside)

    async def stop(self) -> None:
        """Lets calls in flight end, for a moment; then ends those that are left, and the connection."""
        self._ends = True
        end = time.monotonic() + _STOP_GRACE
        while self._unanswered and time.monotonic() < end:
            await asyncio.sleep(0.01)
        self._cancel_all()
        self.writer.flush()
        end = time.monotonic() + _STOP_GRACE
        while not self.writer.is_done and time.monotonic() < end:
            await asyncio.sleep(0.01)
        self._close()

    def _close(self) -> None:
        self._ends = True
        self._threads.close()
        if self._outside is not None:
            self._author.post(self._outside.end)
        self.writer.close()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _cancel_all(self) -> None:
        for stream in list(self._unanswered):
            self._cancel(stream)

    def _cancel(self, stream: int) -> None:
        """Ends the call of a stream, if there is one, without an answer."""
        call = self._unanswered.pop(stream, None)
        if call is not None:
            call.cancel()

    # -- for calls -----------------------------------------------------------------------------------------------------

    def has(self, call: ServerCall) -> bool:
        """Whether a call is not answered yet, and its caller waits."""
        return call.stream in self._unanswered

    def succeed(self, call: ServerCall, payload: bytes) -> None:
        """Answers a call, unless it has ended."""
        if self._unanswered.pop(call.stream, None) is not None:
            self.writer.put(wire.success(call.stream, payload, self.limit))

    def fail(self, call: ServerCall, code: Code, details: str, status: bytes = b"") -> None:
        """Fails a call, unless it has ended; `status` as `CallError` has it."""
        if self._unanswered.pop(call.stream, None) is not None:
            self.writer.put(wire.failure(call.stream, code, details, status))

    def end(self, call: ServerCall) -> None:
        """Ends a call that has answered by messages, unless it has ended."""
        if self._unanswered.pop(call.stream, None) is not None:
            self.writer.put(wire.end_of_messages(call.stream))

    @property
    def backlog(self) -> Backlog:
        """What has come in streams and waits for its readers. For the leader."""
        if self._backlog is None:
            # Few plugins have streams.
            from .streams import Backlog

            self._backlog = Backlog(self.limit)
        return self._backlog

    def flush(self) -> None:
        """Sends what has been answered: whoever has answered sees to it."""
        waiting = self.writer.count
        if threading.get_ident() != self._author_thread or waiting >= _ANSWERS or not self._unanswered:
            self.writer.flush()
        elif not self._author_flushes and waiting:
            # With what else is answered in this turn of the loop.
            self._author_flushes = True
            self._author.loop.call_soon(self._flush_author)

    def _flush_author(self) -> None:
        self._author_flushes = False
        self.writer.flush()

    def watch(self, call: ServerCall) -> None:
        """Looks at a call when it expires."""
        self._threads.watch(call.expires)

    def on_author(self, call: ServerCall) -> None:
        """Has a call go on on the author's loop, with the others of this turn. For the leader."""
        self._handed.append(call)

    def on_loop(self, home: EventLoop, call: ServerCall) -> None:
        """Has a call go on on any loop. For the leader."""
        if home is self._author:
            self._handed.append(call)
        else:
            home.post(call.start)

    def on_thread(self, call: ServerCall) -> None:
        """Has a call go on on a thread for handlers. For any thread."""
        self._threads.hand(call)

    # -- who leads -----------------------------------------------------------------------------------------------------

    def _lead(self, lead: Lead) -> None:
        # What the leader before has answered.
        self.writer.flush()
        try:
            while self._threads.leads(lead) and self._turn(lead) and not self._threads.has_given_back(lead):
                pass
        except (EOFError, OSError):
            self._ended("")
        except GarbledError as error:
            self._ended(str(error))
        except BaseException:
            # One that another thread has raised in this one, too: nobody would read any more.
            _log.exception("the connection of the host fails")
            self._ended("of the above")

    def _turn(self, lead: Lead) -> bool:
        """Reads what is there, and does it; whether the caller leads still."""
        frames, threads, flushed = self._frames, self._threads, time.monotonic()
        if not frames:
            self.writer.wait_for_room()
            if self._backlog is not None:
                self._backlog.wait_for_room()
            frames.extend(self._reader.read())
            flushed = time.monotonic()
        while True:
            work = threads.waiting
            if work is None:
                if not frames:
                    break
                work = self._taken(frames.popleft())
            if work is not None:
                now = time.monotonic()
                if now - flushed > _ANSWER_PATIENCE:
                    self.writer.flush()
                    flushed = now
                self._hand_over()
                if not threads.run(lead, work, now):
                    return False
        self._hand_over()
        self.writer.flush()
        return True

    def _read_on_author(self) -> bool:
        """Takes what there is to read, on the author's loop, where nothing may wait; whether no thread is needed."""
        is_held = self.writer.is_full or (self._backlog is not None and self._backlog.is_full)
        frames = None if is_held else self._reader.read_at_once()
        if frames is None:
            return False
        for frame in frames:
            work = self._taken(frame)
            if work is not None:
                self._threads.hand(work)
        # As long as nobody else reads.
        self._taken_here += self._handed
        self._handed = []
        return True

    def _begin_on_author(self) -> None:
        """Begins the calls that have been taken there."""
        self.writer.flush()
        taken, self._taken_here = self._taken_here, []
        self._start(taken)

    def _hand_over(self) -> None:
        if self._handed:
            handed, self._handed = self._handed, []
            self._author.post(self._start, handed)

    def _start(self, calls: Sequence[ServerCall]) -> None:
        # What is answered at once is sent at once.
        self._author_flushes = True
        try:
            for call in calls:
                call.start()
        finally:
            self._flush_author()

    def _taken(self, frame: Frame) -> ServerCall | None:
        """Takes a frame; answers the call, if one is to go on on this thread."""
        stream, kind, data, flags = frame
        if kind != wire.REQUEST or data is None:
            self._more(frame)
            return None
        if not self._is_new(stream):
            self._refuse(stream, Code.INVALID_ARGUMENT, f"a call can't open stream {stream} now")
            return None
        self._last_stream = stream
        try:
            asked = wire.Request.FromString(data)
        except DecodeError:
            self._refuse(stream, Code.INVALID_ARGUMENT, "this is no request")
            return None
        return self._asked(stream, asked, flags)

    def _is_new(self, stream: int) -> bool:
        """Whether a call may open a stream."""
        last = self._last_stream
        ahead = 2 if last is None else (stream - last) & wire.LAST_STREAM
        return bool(stream & 1) and 0 < ahead < _HALF

    def _more(self, frame: Frame) -> None:
        """Takes a frame that opens no call."""
        stream, kind, data, flags = frame
        if data is None:
            if kind == wire.REQUEST and self._is_new(stream):
                self._last_stream = stream
            self._refuse(stream, Code.RESOURCE_EXHAUSTED, f"Received message larger than max ({self.limit})")
            return
        if kind != wire.DATA:
            self._refuse(stream, Code.INVALID_ARGUMENT, f"stream {stream} has a frame of type {kind}")
            return
        call = self._unanswered.get(stream)
        if call is not None:
            message = None if flags & wire.NO_DATA else data
            wrong = call.receive(message, is_last=bool(flags & wire.REMOTE_CLOSED))
        else:
            # Of a call that has ended there may be some on the way.
            wrong = "data, and is not open" if self._is_new(stream) or not stream & 1 else None
        if wrong is not None:
            self._refuse(stream, Code.INVALID_ARGUMENT, f"stream {stream} has {wrong}")

    def _asked(self, stream: int, asked: Any, flags: int) -> ServerCall | None:
        service, method = asked.service, asked.method
        methods = self._routes.get(service)
        route = methods.get(method) if methods is not None else None
        if route is None and self._find is not None and service not in SERVICES:
            route = self._find(asked)
        if route is None:
            self._asked_of_all(stream, asked)
        elif self._ends:
            self._refuse(stream, Code.UNAVAILABLE, "the plugin is ending")
        elif asked.timeout_nano < 0:
            self._refuse(stream, Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
        elif len(self._unanswered) >= MAX_STREAMS:
            self._refuse(stream, Code.RESOURCE_EXHAUSTED, f"{MAX_STREAMS} calls are not answered yet")
        else:
            call = route(self, stream, asked)
            self._unanswered[stream] = call
            if flags & wire.REMOTE_CLOSED:
                call.receive(None, is_last=True)
            return call if call.begin() else None
        return None

    def _refuse(self, stream: int, code: Code, details: str) -> None:
        """Fails a stream, whether it is that of a call or not."""
        self._cancel(stream)
        self.writer.put(wire.failure(stream, code, details))

    def _asked_of_all(self, stream: int, asked: Any) -> None:
        try:
            payload = self._of_all.answer(asked)
        except CallError as error:
            self._refuse(stream, error.code, error.details)
            return
        if payload is None:
            known = asked.service in self._routes or asked.service in SERVICES
            what = f"method {asked.method}" if known else f"service {asked.service}"
            self._refuse(stream, Code.UNIMPLEMENTED, what)
            return
        self.writer.put(wire.success(stream, payload, self.limit))
        if self._of_all.is_asked_to_end:
            # The end must not come before its answer.
            self.writer.flush()
            self._stopping.set()

    def _ended(self, why: str) -> None:
        if why:
            _log.error("the host's connection can't be read any more: %s", why)
        is_expected = self._ends or self._of_all.is_asked_to_end or self._stopping.is_set()
        self._cancel_all()
        self._close()
        if not is_expected:
            self._lost()

    # -- who watches ---------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> float:
        """Ends the calls whose time is over; answers when the next one's is."""
        soonest = math.inf
        for call in list(self._unanswered.values()):
            if call.expires <= now:
                try:
                    call.expire(now)
                except Exception:
                    _log.exception("the end of a call's time has failed")
            soonest = min(soonest, call.expires if self.has(call) else math.inf)
        self.writer.flush()
        return soonest
