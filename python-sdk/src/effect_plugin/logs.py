"""Logging: every record becomes one line of hclog's JSON on the real stderr, which the host reads."""

from __future__ import annotations

import contextlib
import datetime
import io
import logging
import os
import threading
from typing import Any, TextIO, cast

#: Attributes every record has; what else a record carries came by `extra`.
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

#: Characters of the longest line. Hosts cut those of 64 KiB into pieces, which are no JSON any more.
_LONGEST = 60_000

#: Bytes of a printed line after which what follows is another one. JSON may write six characters for each.
_LONGEST_PRINTED = _LONGEST // 6

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
        message = f"{_text(record.msg)} {_text(record.args)}"
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
    line, limit = _dumped(entry), _LONGEST // 2
    while len(line) > _LONGEST:
        # Characters that JSON escapes take more room there, and there may be many fields.
        line = _dumped({_shortened(key, limit): _shortened(_text(value), limit) for key, value in entry.items()})
        limit //= 2
        if limit < _SHORTEST:
            entry = {key: value for key, value in entry.items() if key.startswith("@")}
    return line


#: A text that has been shortened to fewer characters than these says nothing.
_SHORTEST = 500


def _dumped(entry: dict[str, Any]) -> str:
    import json

    try:
        return json.dumps(entry, default=_text, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        # JSON has no such keys, numbers or circles; text has.
        return json.dumps({str(key): _text(value) for key, value in entry.items()}, ensure_ascii=False)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001, RUF100
        return f"<a {type(value).__name__}, whose str raises {type(error).__name__}>"


def _shortened(text: str, limit: int) -> str:
    """Beginning and end of a text, which for a traceback is what matters."""
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]}… {len(text) - limit // 2 * 2} characters are left out …{text[-(limit // 2) :]}"


class _Descriptor(io.RawIOBase):
    """A file descriptor, without a buffer that a forked child would have a copy of."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        return len(data)


def utf8_stream(descriptor: int) -> TextIO:
    """A stream of its own on a descriptor, which writes UTF-8, whatever the locale: so the host reads."""
    return io.TextIOWrapper(
        cast("Any", _Descriptor(descriptor)), "utf-8", "backslashreplace", newline="\n", write_through=True
    )


#: What they have to say at debug is for their own makers, and drowns what a plugin says.
_OTHERS = ("grpc", "asyncio")


def configure(level: str, stream: TextIO) -> None:
    """Sends everything from `level` up to the host, whatever the plugin set up before.

    What the SDK logs, and what is printed, does not go by way of the root: a plugin may set that up anew, or have a
    handler there that prints.
    """
    root, own = logging.getLogger(), [own_logger("effect_plugin"), own_logger("stdout")]
    for handler in root.handlers[:]:
        # A file of the plugin's own is its own affair.
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
    ours = HclogHandler(stream)
    for logger in own:
        logger.propagate = False
    for logger in (root, *own):
        logger.handlers = [*(handler for handler in logger.handlers if not isinstance(handler, HclogHandler)), ours]
        logger.setLevel(level)
    for name in _OTHERS:
        # Unless the plugin's author wants them.
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(True)


class _OwnLogger(logging.Logger):
    """A logger that `logging.config` can't silence: it disables those there are unless it is told otherwise, and then
    nobody would hear why a handler has failed."""

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        pass


def own_logger(name: str) -> logging.Logger:
    """A logger of the SDK's own, which is made with the first call for its name."""
    others = logging.getLoggerClass()
    logging.setLoggerClass(_OwnLogger)
    try:
        return logging.getLogger(name)
    finally:
        logging.setLoggerClass(others)


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
        whole, newline, rest = bytes(data).rpartition(b"\n")
        pieces = self._pieces()
        if newline:
            self._log((b"".join(pieces) + whole).split(b"\n"))
            pieces.clear()
            self._rest.size = 0
        pieces.append(rest)
        self._rest.size += len(rest)
        if self._rest.size >= _LONGEST_PRINTED:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Logs a line that has no end yet."""
        pieces = self._pieces()
        self._log([b"".join(pieces)])
        pieces.clear()
        self._rest.size = 0

    def _pieces(self) -> list[bytes]:
        """What this thread has written of a line."""
        if not hasattr(self._rest, "pieces"):
            self._rest.pieces, self._rest.size = [], 0
        return cast("list[bytes]", self._rest.pieces)

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
