"""The plugin as a process of its host: its stdout, its life line, its end."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import sys
import threading
import time
from typing import Any, Callable, TextIO, cast

#: Names the file descriptor whose end of file means that the host is gone.
LIFELINE_VARIABLE = "PLUGIN_LIFELINE_FD"

#: Names the file descriptor over which the host hands on the plugin's own token for the host API.
TOKEN_VARIABLE = "PLUGIN_SUPERVISOR_API_TOKEN_FD"

#: Bytes of a token.
_TOKEN_LIMIT = 1024

#: Seconds the whole token may take to come. The host has written it when it starts the process.
_TOKEN_PATIENCE = 5.0

#: Tells the host that the token has come, and will be shown with every call.
_TOKEN_TAKEN = b"\x06"

#: Seconds between the host's death and the plugin's, however stuck the plugin is.
_ORPHAN_LIMIT = 1.0

#: Seconds that exit functions have when the plugin stops. A host waits two for all of the plugin's end.
_EXIT_LIMIT = 0.5

#: How often the parent is looked at where there is no life line, in seconds.
_PARENT_POLL = 1.0

#: Every go-plugin host sets it.
_VERSIONS_VARIABLE = "PLUGIN_PROTOCOL_VERSIONS"

_protocol_versions = ""

_handshake_fd: int | None = None

_log_stream: TextIO | None = None

_api_token = ""

_parent = os.getppid()
_host_is_gone = threading.Event()
_terminated = threading.Event()

#: The kernel may tell of the host's death by a signal before the life line has ended and the parent has changed: the
#: host's threads die one after the other. Seconds to wait for the rest of the news.
_DEATH_SETTLES = 0.2


def started_by_host() -> bool:
    """Whether this looks like a go-plugin host's process, whatever its magic cookie: every host names its versions.

    Only the process itself is: the variable is taken, so that no program that it starts takes itself for a plugin.
    """
    return protocol_versions() != ""


def protocol_versions() -> str:
    """The protocol versions that the host speaks, as it says so; empty without a host."""
    global _protocol_versions
    _protocol_versions = os.environ.pop(_VERSIONS_VARIABLE, "") or _protocol_versions
    return _protocol_versions


def claim_stdout() -> None:
    """Keeps the real stdout for the handshake; what anything else writes there goes to stderr.

    Done when the package is imported in a plugin's process, since imports and top-level code may print. The old
    `sys.stdout` is flushed after its descriptor was redirected, so that what it holds does not precede the handshake.
    """
    global _handshake_fd
    if _handshake_fd is not None:
        return
    _handshake_fd = os.dup(1)
    os.dup2(2, 1)
    from .logs import LogWriter, own_logger

    with contextlib.suppress(Exception):
        sys.stdout.flush()
    sys.stdout = LogWriter(own_logger("stdout"))
    with contextlib.suppress(Exception):
        # The host reads UTF-8, whatever the locale.
        cast("Any", sys.stderr).reconfigure(encoding="utf-8", errors="backslashreplace")


def log_stream() -> TextIO:
    """The stderr that the host has given: where the log goes, whatever becomes of `sys.stderr` and of descriptor 2."""
    global _log_stream
    if _log_stream is None:
        from .logs import utf8_stream

        _log_stream = utf8_stream(os.dup(2))
    return _log_stream


def claim_token() -> None:
    """Takes the plugin's token for the host API from the host, who proves by it who calls.

    Done when the package is imported, so that no child inherits the descriptor. A host without tokens names none.
    """
    global _api_token
    named = os.environ.pop(TOKEN_VARIABLE, "")
    # The first three are somebody else's.
    if not named.isdecimal() or int(named) <= 2:
        return
    descriptor = int(named)
    with contextlib.suppress(OSError, ValueError, OverflowError):
        # On Linux nobody says that a high one is closed but this.
        os.fstat(descriptor)
        try:
            token = _read_to_the_end(descriptor).decode("ascii")
            if token and token.isprintable():
                _api_token = token
                os.write(descriptor, _TOKEN_TAKEN)
        finally:
            os.close(descriptor)


def _read_to_the_end(descriptor: int) -> bytes:
    data = b""
    end = time.monotonic() + _TOKEN_PATIENCE
    while len(data) <= _TOKEN_LIMIT:
        readable, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        if not readable:
            raise TimeoutError("the host has not handed on all of its token")
        piece = os.read(descriptor, _TOKEN_LIMIT + 1 - len(data))
        if not piece:
            return data
        data += piece
    raise ValueError("this is no token")


def api_token() -> str:
    """The plugin's token for the host API; empty where there is none."""
    return _api_token


def keep_grpc_out_of_children() -> None:
    """Keeps gRPC from touching forked children: before their exec it can hang them, and who waits for them.

    Done before gRPC is imported. A plugin that calls gRPC in children it forks may set the variable itself.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def write_handshake(line: str) -> None:
    """Writes the one line the host waits for."""
    assert _handshake_fd is not None, "claim_stdout comes first"
    os.write(_handshake_fd, line.encode() + b"\n")


def watch_host(stop: Callable[[], object]) -> None:
    """Calls `stop` once when the host is gone, and ends the process and its group soon after, whatever `stop` does."""
    lifeline = _claim_lifeline()
    if lifeline is None:
        _ask_for_parent_death_signal()

    def watch() -> None:
        if lifeline is not None:
            while os.read(lifeline, 1024):
                pass
        else:
            while os.getppid() == _parent:
                time.sleep(_PARENT_POLL)
        lose_host(stop)

    threading.Thread(target=watch, name="host-watch", daemon=True).start()


def lose_host(stop: Callable[[], object]) -> None:
    """The host is gone: calls `stop`, and ends the process soon after. Does not return."""
    _host_is_gone.set()
    stop()
    time.sleep(_ORPHAN_LIMIT)
    leave(1)


def _claim_lifeline() -> int | None:
    """The life line, moved where children don't inherit it; they get an empty stdin instead."""
    named = os.environ.pop(LIFELINE_VARIABLE, "")
    if not named.isdigit():
        return None
    lifeline = os.dup(int(named))
    if int(named) == 0:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    return lifeline


def _ask_for_parent_death_signal() -> None:
    """On Linux the kernel tells when the parent dies; where it can't, polling does."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(Exception):
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def run_exit_functions() -> None:
    """Runs what `atexit` was given, which `leave` would pass over; it may take a moment, and no longer."""
    thread = threading.Thread(target=atexit._run_exitfuncs, name="atexit", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # No thread can be had: a host ends who takes too long.
        atexit._run_exitfuncs()
    else:
        thread.join(_EXIT_LIMIT)


def end() -> None:
    """Ends the process as it should end, whatever still runs on its threads."""
    run_exit_functions()
    # A handler may still run, and its thread can't be stopped: leave without waiting for it.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    leave(0)


def leave(code: int) -> None:
    """Ends the process at once. Without a host nobody is left to end what it started: its process group goes along."""
    if _terminated.is_set():
        _host_is_gone.wait(_DEATH_SETTLES)
    orphaned = _host_is_gone.is_set() or os.getppid() != _parent
    if orphaned and hasattr(os, "getpgrp") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(code)


def _ignore(*_: object) -> None:
    pass


def _forget_in_children() -> None:
    """Gives forked children signals of their own: they inherit the loop's, which would stop the plugin instead."""
    global _forgets
    if _forgets or not hasattr(os, "register_at_fork"):
        return
    _forgets = True
    masks = threading.local()

    def hold() -> None:
        # A signal that comes to the child earlier than `forget` waits for it.
        masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.before)

    def forget() -> None:
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=forget)


_forgets = False


def on_signals(loop: Any, stop: Callable[[], None], *, ignore_interrupt: bool = True) -> None:
    """SIGTERM stops gracefully; SIGINT does where the plugin was started by hand, and else is the host's to hear.

    `stop` may be called in any thread, more than once. `loop` is the main thread's.
    """
    if ignore_interrupt:
        # Not SIG_IGN, which every program that the plugin starts would inherit.
        signal.signal(signal.SIGINT, _ignore)
    _forget_in_children()

    def terminate(*_: object) -> None:
        _terminated.set()
        stop()

    if sys.platform == "win32":
        signal.signal(signal.SIGTERM, terminate)
        return
    calls: dict[int, Callable[[], None]] = {signal.SIGTERM: terminate}
    if not ignore_interrupt:
        calls[signal.SIGINT] = stop
    for number, call in calls.items():
        loop.add_signal_handler(number, call)
    _hear(calls)


def _hear(calls: dict[int, Callable[[], None]]) -> None:
    """Calls what is for a signal on a thread of its own, as soon as it comes.

    Python runs handlers in the main thread, between two of its steps. Something may block that, and a signal that comes
    in the moment in which it begins to wait is seen when the wait is over. A descriptor is told of each in any case.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    loops = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def hear() -> None:
        while numbers := os.read(reading, 64):
            for number in numbers:
                if number in calls:
                    calls[number]()
            # For signals that the plugin has the event loop handle.
            with contextlib.suppress(OSError):
                os.write(loops, numbers)

    threading.Thread(target=hear, name="signals", daemon=True).start()
