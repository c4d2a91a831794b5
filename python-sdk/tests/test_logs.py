"""Log records as hclog lines, and the runtime's configuration."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from typing import Any

import pytest

from mattermost_plugin import load_runtime_config
from mattermost_plugin.logs import HclogHandler, LogWriter, format_record


def record(level: int, message: Any, *args: Any, **attributes: Any) -> Any:
    made = logging.LogRecord("name", level, "file", 1, message, args, None)
    vars(made).update(attributes)
    return json.loads(format_record(made))


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (logging.CRITICAL, "error"),
        (logging.ERROR, "error"),
        (logging.WARNING, "warn"),
        (logging.INFO, "info"),
        (logging.DEBUG, "debug"),
        (5, "trace"),
    ],
)
def test_levels(level: int, name: str) -> None:
    assert record(level, "m")["@level"] == name


def test_fields() -> None:
    entry = record(logging.INFO, "%s and %d", "a", 1, extra_field={"deep": [1]}, other=object)
    assert entry["@message"] == "a and 1"
    assert entry["@module"] == "name"
    assert entry["extra_field"] == {"deep": [1]}
    assert entry["other"] == str(object), "what JSON can't say becomes text"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry["@timestamp"])
    assert "args" not in entry


def test_messages_that_are_no_text() -> None:
    assert record(logging.INFO, {"a": 1})["@message"] == "{'a': 1}"


def test_one_line_with_the_traceback() -> None:
    stream = io.StringIO()
    logger = logging.Logger("x")
    logger.addHandler(HclogHandler(stream))
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("failed\nbadly")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: no" in json.loads(line)["@message"]


def test_a_broken_stream_breaks_nothing() -> None:
    stream = io.StringIO()
    handler = HclogHandler(stream)
    stream.close()
    handler.emit(logging.LogRecord("x", logging.INFO, "f", 1, "m", (), None))


def test_what_is_printed_becomes_records() -> None:
    stream = io.StringIO()
    logger = logging.Logger("stdout")
    logger.addHandler(HclogHandler(stream))
    writer = LogWriter(logger)
    print("one\ntwo", file=writer)
    print("three", end="", file=writer)
    assert len(stream.getvalue().splitlines()) == 2
    writer.flush()
    assert [json.loads(line)["@message"] for line in stream.getvalue().splitlines()] == ["one", "two", "three"]


def test_runtime_config(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ID", "API_TARGET", "PATH", "HOOK_TIMEOUT", "LOG_LEVEL"):
        monkeypatch.delenv(f"MATTERMOST_PLUGIN_{name}", raising=False)
    assert (load_runtime_config().hook_timeout, load_runtime_config().log_level) == (30.0, "INFO")
    monkeypatch.setenv("MATTERMOST_PLUGIN_HOOK_TIMEOUT", "1.5")
    monkeypatch.setenv("MATTERMOST_PLUGIN_LOG_LEVEL", "debug")
    monkeypatch.setenv("MATTERMOST_PLUGIN_ID", "me")
    config = load_runtime_config()
    assert (config.hook_timeout, config.log_level, config.plugin_id) == (1.5, "DEBUG", "me")
    for wrong in ("x", "0", "-1", "nan"):
        monkeypatch.setenv("MATTERMOST_PLUGIN_HOOK_TIMEOUT", wrong)
        assert load_runtime_config().hook_timeout == 30.0
    monkeypatch.setenv("MATTERMOST_PLUGIN_LOG_LEVEL", "loud")
    assert load_runtime_config().log_level == "INFO"


def test_importing_without_a_host_leaves_stdout_alone() -> None:
    assert not isinstance(sys.stdout, LogWriter)
