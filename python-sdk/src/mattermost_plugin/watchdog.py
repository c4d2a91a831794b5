"""Where handlers hang: what blocks the event loop, and what a handler is at that does not return."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Any

from .logs import own_logger

#: Seconds for which nothing else runs on the event loop, before that is told. Whoever blocks it for a moment is slow;
#: whoever does for seconds keeps every hook and request waiting.
BLOCKED = 3.0

#: Seconds between two looks.
_LOOK = 0.5

_log = own_logger("mattermost_plugin")

_OURS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")


@functools.cache
def _not_authors() -> tuple[str, ...]:
    """Where Python's libraries are, and this one."""
    # Most plugins never ask, and it takes a moment to load.
    import sysconfig

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return (_OURS, *{os.path.join(sysconfig.get_path(name), "") for name in names})


def _is_authors(frame: FrameType) -> bool:
    file = os.path.abspath(frame.f_code.co_filename)
    return not file.startswith(_not_authors()) and not file.startswith("<")


def place_of(frame: FrameType | None) -> str:
    """Where a stack is, told by its innermost frame of the plugin's own code: `plugin.py:12, in check`."""
    found = frame
    while found is not None and not _is_authors(found):
        found = found.f_back
    found = found or frame
    if found is None:
        return "nowhere"
    return f"{os.path.basename(found.f_code.co_filename)}:{found.f_lineno}, in {found.f_code.co_name}"


def place_of_task(task: asyncio.Future[Any]) -> str:
    """Where a task that waits is: at the innermost coroutine of the plugin's own code."""
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    place = "nowhere"
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        if _is_authors(frame) or place == "nowhere":
            place = place_of(frame)
        coroutine = getattr(coroutine, "cr_await", None)
    return place


def place_of_thread(ident: int) -> str:
    """Where a thread is."""
    return place_of(sys._current_frames().get(ident))


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Tells, from now on, when something blocks the loop, and where that is. Called on the loop's thread."""
    watched = threading.get_ident()
    answered = threading.Event()

    def look() -> None:
        while not loop.is_closed():
            answered.clear()
            asked = time.monotonic()
            try:
                loop.call_soon_threadsafe(answered.set)
            except RuntimeError:
                return
            if not answered.wait(BLOCKED):
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
            time.sleep(_LOOK)

    threading.Thread(target=look, name="watchdog", daemon=True).start()
