"""Logging: every record becomes one line of hclog's JSON on the real stderr, which the host reads."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import logging
import os
import threading
from typing import Any, TextIO, cast

#: Attributes every record has; what else a record carries came by `extra`.
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_LEVELS = [(logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"), (logging.DEBUG, "debug")]


class HclogHandler(logging.Handler):
    """Writes records as go-plugin hosts read them: `{"@level":…,"@message":…,"@module":…,"@timestamp":…, …extra}`."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record; a record that can't be written is lost, the plugin is not."""
        try:
            self._stream.write(format_record(record) + "\n")
            self._stream.flush()
        except Exception:  # noqa: BLE001, RUF100
            # The host may be gone and the pipe with it.
            pass


def format_record(record: logging.LogRecord) -> str:
    """One record as one line."""
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001, RUF100
        # The arguments don't fit the format. That is no reason to lose them.
        message = f"{record.msg} {record.args}"
    if record.exc_info:
        message += "\n" + logging.Formatter().formatException(record.exc_info)
    if record.stack_info:
        message += "\n" + record.stack_info
    # hclog wants exactly six digits of a second's fraction.
    time = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
    entry: dict[str, Any] = {
        **{key: value for key, value in vars(record).items() if key not in _STANDARD},
        "@level": next((name for level, name in _LEVELS if record.levelno >= level), "trace"),
        "@message": message,
        "@module": record.name,
        "@timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    try:
        return json.dumps(entry, default=str, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        # JSON has no such keys, numbers or circles; text has.
        return json.dumps({key: str(value) for key, value in entry.items()}, ensure_ascii=False)


def configure(level: str, stream: TextIO) -> None:
    """Sends everything from `level` up to the host, whatever the plugin set up before."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.addHandler(HclogHandler(stream))
    root.setLevel(level)


class LogWriter(io.TextIOWrapper):
    """A stand-in for `sys.stdout`: each line that is printed becomes a log record."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(cast("Any", _LogLines(logger)), "utf-8", "backslashreplace", newline="\n", write_through=True)


class _LogLines(io.RawIOBase):
    """The bytes under `LogWriter`. Each thread completes its own lines."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._rest = threading.local()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        # A child that is given this stdout writes where the descriptor leads: to the log.
        return 1

    def write(self, data: Any) -> int:
        *lines, self._rest.data = (getattr(self._rest, "data", b"") + bytes(data)).split(b"\n")
        self._log(lines)
        return len(data)

    def flush(self) -> None:
        """Logs a line that has no end yet."""
        rest, self._rest.data = getattr(self._rest, "data", b""), b""
        self._log([rest])

    def _log(self, lines: list[bytes]) -> None:
        for line in lines:
            if not line:
                continue
            if self._logger.hasHandlers():
                self._logger.info("%s", line.decode(errors="backslashreplace"))
            else:
                # Printed before logging was set up, or in a plugin that never does.
                with contextlib.suppress(OSError):
                    os.write(2, line + b"\n")
