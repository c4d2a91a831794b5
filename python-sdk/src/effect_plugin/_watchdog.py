"""Where handlers hang: what blocks the event loop, and what a handler is at that does not return."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import queue
import sys
import threading
import time
import traceback
from types import CodeType, FrameType
from typing import Any, Callable, cast

from . import _process as process
from ._loops import EventLoop
from .logs import own_logger

#: Seconds for which nothing else runs on the event loop, before that is told. Whoever blocks it for a moment is slow;
#: whoever does for seconds keeps every hook and request waiting.
BLOCKED = 3.0

#: Seconds for which something blocks the event loop, until the plugin says that it is unwell. A host may end it then,
#: if it does nothing else meanwhile; ours takes three quarters of a minute to be sure.
UNWELL = 10.0

#: Seconds for which something may block the event loop before others are told, who do without it then.
_MOMENT = 0.1

#: Seconds between two looks; and, as long as nothing is posted to it, between those at a loop that was idle in so many.
_LOOK, _LOOK_AT_REST = 0.5, 10.0
_RESTS_AFTER = 4

#: Looks that go by the loop's stack alone. Then the loop is asked: what is not Python's code does not show there.
_GLANCES = 30

#: Seconds for which something may block the loop when the plugin ends. A host waits two for all of the plugin's end.
_BLOCKED_AT_END, _LOOK_AT_END = 1.0, 0.1

_log = own_logger("effect_plugin")

#: The folders of the engine, and of contracts' packages.
_OURS = {os.path.join(os.path.dirname(os.path.abspath(__file__)), "")}


def leave_out(package: str) -> None:
    """Takes the code of a contract's package for none of the plugin's own."""
    file = getattr(sys.modules.get(package), "__file__", None)
    if file:
        _OURS.add(os.path.join(os.path.dirname(os.path.abspath(file)), ""))


@functools.cache
def _libraries() -> tuple[str, ...]:
    """Where Python's libraries are."""
    # Most plugins never ask, and it takes a moment to load.
    import sysconfig

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({os.path.join(sysconfig.get_path(name), "") for name in names})


def _is_authors(frame: FrameType) -> bool:
    file = os.path.abspath(frame.f_code.co_filename)
    return not file.startswith((*_OURS, *_libraries())) and not file.startswith("<")


def place_of(frame: FrameType | None) -> str:
    """Where a stack is, told by its innermost frame of the plugin's own code: `plugin.py:12, in check`."""
    found = frame
    while found is not None and not _is_authors(found):
        found = found.f_back
    found = found or frame
    if found is None:
        return "nowhere"
    return f"{os.path.basename(found.f_code.co_filename)}:{found.f_lineno}, in {found.f_code.co_name}"


def is_running(task: asyncio.Task[Any]) -> bool:
    """Whether a task runs right now, on its loop's thread."""
    return bool(getattr(task.get_coro(), "cr_running", False))


def place_of_task(task: asyncio.Task[Any]) -> str:
    """Where a task that waits is: at the innermost coroutine of the plugin's own code."""
    coroutine: Any = task.get_coro()
    place = "nowhere"
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        if _is_authors(frame) or place == "nowhere":
            place = place_of(frame)
        coroutine = getattr(coroutine, "cr_await", None)
    return place


def place_of_thread(ident: int) -> str:
    """Where a thread is."""
    return place_of(sys._current_frames().get(ident))


def _ask(loop: asyncio.AbstractEventLoop) -> threading.Event:
    """An event that the loop sets when it comes to it. RuntimeError when the loop has ended."""
    answered = threading.Event()
    loop.call_soon_threadsafe(answered.set)
    return answered


class _Look:
    """The look at the event loop that is not over."""

    #: When it has begun, by the monotonic clock.
    began: float | None = None


def is_unwell() -> bool:
    """Whether something has blocked the event loop for so long that the plugin may be deadlocked."""
    began = _Look.began
    return began is not None and time.monotonic() - began >= UNWELL


#: Called when something blocks the event loop for a moment, whatever that is.
_when_blocked: list[Callable[[], object]] = []


def when_blocked(listener: Callable[[], object]) -> None:
    """Has a function called whenever the event loop that is watched is blocked for a moment. On another thread."""
    _when_blocked.append(listener)


def _is_idle(frame: FrameType | None, runs: CodeType | None) -> bool:
    """Whether a loop waits for something to happen, as far as its thread's innermost frame tells.

    asyncio's own is then where it selects, and one that is not written in Python in what `runs` it.
    """
    if frame is None:
        return False
    if frame.f_code is runs:
        return True
    caller = frame.f_back
    return frame.f_code.co_name == "select" and caller is not None and caller.f_code is _TURN


#: What asyncio's loops do again and again.
_TURN = cast("Any", asyncio.BaseEventLoop)._run_once.__code__


def watch(loop: asyncio.AbstractEventLoop, runs: CodeType | None = None) -> None:
    """Tells, from now on, when something blocks the loop, and where that is. Called on the loop's thread.

    `runs` is the function that has called `run_until_complete`. A loop that is idle is left alone: to wake it again and
    again would be all that most plugins do most of the time.
    """
    watched, home = threading.get_ident(), EventLoop.of(loop)
    posted: queue.SimpleQueue[None] = queue.SimpleQueue()

    def look() -> None:
        glances, idle = 0, 0
        while True:
            is_idle = _is_idle(sys._current_frames().get(watched), runs)
            idle = idle + 1 if is_idle else 0
            if is_idle and glances < _GLANCES:
                glances += 1
                if idle < _RESTS_AFTER:
                    time.sleep(_LOOK)
                elif home.is_posted_to(posted, _LOOK_AT_REST):
                    # What that does may block the loop: the next look is as soon as any.
                    idle = 0
                    time.sleep(_LOOK)
                continue
            glances = 0
            asked = _Look.began = time.monotonic()
            answered = _ask(loop)
            if not answered.wait(_MOMENT):
                for listener in _when_blocked:
                    listener()
            if not answered.wait(BLOCKED - _MOMENT):
                frame = sys._current_frames().get(watched)
                stack = "".join(traceback.format_stack(frame)[-20:]) if frame is not None else ""
                _log.warning(
                    "the event loop has been blocked for %.0f s, and everything async with it; it is at %s\n%s",
                    BLOCKED,
                    place_of(frame),
                    stack.rstrip(),
                )
                del frame
                answered.wait()
                _log.warning("the event loop runs again, after %.1f s", time.monotonic() - asked)
            _Look.began = None
            time.sleep(_LOOK)

    _start(look)


def leave_when_blocked(loop: asyncio.AbstractEventLoop) -> None:
    """Ends the process, from now on, when something blocks the loop of the main thread: its host would kill it."""
    watched = threading.main_thread().ident or 0

    def look() -> None:
        while _ask(loop).wait(_BLOCKED_AT_END):
            time.sleep(_LOOK_AT_END)
        _log.warning(
            "the plugin ends while something blocks its event loop, and nothing async comes to its end; it is at %s",
            place_of_thread(watched),
        )
        process.end()

    _start(look)


def _start(look: Callable[[], None]) -> None:
    def run() -> None:
        # Until the loop has ended.
        with contextlib.suppress(RuntimeError):
            look()

    threading.Thread(target=run, name="watchdog", daemon=True).start()
