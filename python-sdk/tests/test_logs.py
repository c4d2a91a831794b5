"""Log records as hclog lines, and the runtime's configuration."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import re
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from effect_plugin.logs import HclogHandler, LogWriter, format_record
from mattermost_plugin import RuntimeConfig, load_runtime_config

from .conftest import StartPlugin


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


def test_the_own_fields_are_not_for_extra() -> None:
    entry = record(logging.INFO, "m", **{"@level": "error", "@message": "forged", "harmless": 1})
    assert (entry["@level"], entry["@message"], entry["harmless"]) == ("info", "m", 1)


@pytest.mark.parametrize(("created", "expected"), [(0, "000000"), (1.5, "500000"), (1.000001, "000001")])
def test_six_digits_of_a_second(created: float, expected: str) -> None:
    stamp = record(logging.INFO, "m", created=created)["@timestamp"]
    assert re.fullmatch(rf"1970-01-01T00:00:0\d\.{expected}Z", stamp), stamp


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"a": 1}, "{'a': 1}"),
        (None, "None"),
        (42, "42"),
        (ValueError("no"), "no"),
        (b"b", "b'b'"),
        ("ä\n\u2028", "ä\n\u2028"),
    ],
)
def test_messages_that_are_no_text(message: Any, text: str) -> None:
    assert record(logging.INFO, message)["@message"] == text


def test_arguments_that_do_not_fit_are_not_lost() -> None:
    assert record(logging.INFO, "%d posts of %s", "many")["@message"] == "%d posts of %s ('many',)"


def test_extra_that_json_can_not_say_is_not_lost() -> None:
    circle: list[Any] = []
    circle.append(circle)
    for extra in (circle, {(1, 2): 3}, float("nan"), float("inf")):
        entry = record(logging.INFO, "m", extra=extra, other="o")
        assert (entry["@message"], entry["other"], entry["extra"]) == ("m", "o", str(extra))


def test_the_stack_is_told_where_it_is_asked_for() -> None:
    assert record(logging.INFO, "m", stack_info="Stack: f()")["@message"] == "m\nStack: f()"


def test_one_line_with_the_traceback() -> None:
    stream = io.StringIO()
    logger = logging.Logger("x")
    logger.addHandler(HclogHandler(stream))
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("failed\nbadly", extra={"where": "here"})
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["@level"] == "error" and entry["where"] == "here"
    assert entry["@message"].startswith("failed\nbadly\nTraceback (most recent call last):\n")
    assert entry["@message"].endswith("ValueError: no")


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


def test_what_is_printed_may_look_like_a_format() -> None:
    stream = io.StringIO()
    logger = logging.Logger("stdout")
    logger.addHandler(HclogHandler(stream))
    print("100 %s", file=LogWriter(logger))
    assert json.loads(stream.getvalue())["@message"] == "100 %s"


def test_the_stand_in_can_what_stdout_can() -> None:
    stream = io.StringIO()
    logger = logging.Logger("stdout")
    logger.addHandler(HclogHandler(stream))
    writer = LogWriter(logger)
    writer.reconfigure(line_buffering=True)
    writer.buffer.write(b"bytes \xff\r\n")
    writer.writelines(["ä\ud800\n", "\n"])
    assert (writer.encoding, writer.isatty(), writer.fileno()) == ("utf-8", False, 1)
    lines = [json.loads(line)["@message"] for line in stream.getvalue().splitlines()]
    assert lines == ["bytes \\xff\r", "ä\\ud800"]


def test_each_thread_prints_lines_of_its_own() -> None:
    stream = io.StringIO()
    logger = logging.Logger("stdout")
    logger.addHandler(HclogHandler(stream))
    writer = LogWriter(logger)
    print("half", end="", file=writer)
    other = threading.Thread(target=print, args=("whole",), kwargs={"file": writer})
    other.start()
    other.join()
    print(" and half", file=writer)
    assert [json.loads(line)["@message"] for line in stream.getvalue().splitlines()] == ["whole", "half and half"]


def test_what_the_host_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATTERMOST_PLUGIN_PATH", "/bundle")
    monkeypatch.setenv("MATTERMOST_PLUGIN_API_TARGET", "unix:/first")
    monkeypatch.setenv("MATTERMOST_API_TARGET", "unix:/second")
    config = load_runtime_config()
    assert (config.plugin_path, config.api_target) == ("/bundle", "unix:/first")
    monkeypatch.delenv("MATTERMOST_PLUGIN_API_TARGET")
    assert load_runtime_config().api_target == "unix:/second"
    monkeypatch.delenv("MATTERMOST_API_TARGET")
    assert load_runtime_config().api_target == ""
    assert load_runtime_config() == RuntimeConfig(plugin_path="/bundle")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.plugin_id = "other"  # type: ignore[misc]


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


@pytest.mark.parametrize("text", ["x" * 200_000, '"\x01\\' * 100_000, "ö" * 100_000])
def test_a_record_of_any_length_is_one_line_that_hosts_take(text: str) -> None:
    made = logging.LogRecord("name", logging.ERROR, "file", 1, f"begins {text} ends", (), None)
    vars(made).update({"long": text, **{f"field {number}": "y" * 1000 for number in range(1000)}})
    line = format_record(made)
    assert len(line) < 64 * 1024
    entry = json.loads(line)
    assert re.fullmatch(r"begins .*… \d+ characters are left out ….* ends", entry["@message"], re.DOTALL)
    assert (entry["@level"], entry["@module"]) == ("error", "name")


def test_what_has_no_text_is_no_reason_to_lose_a_record() -> None:
    class Silent:
        def __str__(self) -> str:
            raise ValueError("nothing to say")

    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    entry = record(logging.INFO, "%s", Silent(), silent=Silent(), deep=deep)
    assert "<a Silent, whose str raises ValueError>" in entry["silent"]
    assert "RecursionError" in entry["deep"]
    assert entry["@message"]


IMPORTING = """
    import logging, logging.config, warnings
    logging.getLogger("early").info("logged while it is imported")
    logging.info("logged at the root")
    print("printed while it is imported")
    warnings.warn("something is old")
    logging.config.dictConfig({"version": 1, "handlers": {"h": {"class": "logging.StreamHandler"}},
                               "root": {"handlers": ["h"]}})

    class Importing(Plugin):
        @hook(HookName.OnActivate)
        def activate(self):
            print("printed later")
            logging.config.dictConfig({"version": 1})
            raise ValueError("why it failed")

    run_plugin(Importing)
"""


def test_nothing_is_lost_that_is_logged_early_or_in_spite_of_logging_config(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(IMPORTING)
    assert "why it failed" in plugin.call("OnActivate").error.message
    plugin.wait_for_log("why it failed")
    entries = {entry["@module"]: entry for entry in map(json.loads, plugin.log().splitlines())}
    assert entries["early"]["@message"] == "logged while it is imported"
    assert entries["root"]["@message"] == "logged at the root"
    assert "something is old" in entries["py.warnings"]["@message"]
    assert entries["effect_plugin"]["@level"] == "error"
    assert '"printed while it is imported", "@module": "stdout"' in plugin.log()
    assert '"printed later", "@module": "stdout"' in plugin.log()


VERBOSE = """
    import logging
    for name in ("grpc._cython", "asyncio", "mine"):
        logging.getLogger(name).debug("debug of %s", name)
    logging.getLogger("asyncio").setLevel(logging.DEBUG)

    class Verbose(Plugin):
        @hook(HookName.OnActivate)
        def activate(self):
            logging.getLogger("asyncio").debug("wanted")

    run_plugin(Verbose)
"""


def test_a_plugin_at_debug_is_not_drowned_by_what_libraries_tell_their_makers(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(VERBOSE, MATTERMOST_PLUGIN_LOG_LEVEL="DEBUG")
    plugin.call("OnActivate")
    plugin.wait_for_log("wanted")
    assert "debug of mine" in plugin.log()
    assert "debug of grpc" not in plugin.log()
    assert "debug of asyncio" not in plugin.log()


PRINTING = """
    import atexit, logging
    logging.getLogger().addHandler(logging.FileHandler("own.log"))
    atexit.register(lambda: open("ended", "w").close())

    class Printing(Plugin):
        def __init__(self, api=None, config=None):
            super().__init__(api, config)
            logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))
            self.logger.warning("logged to stdout")

        @hook(HookName.OnActivate)
        def activate(self):
            logging.basicConfig(stream=sys.stdout, force=True)
            self.logger.warning("logged to stdout, too")

    run_plugin(Printing)
"""


def test_a_plugin_s_own_handlers_and_exit_functions(start_plugin: StartPlugin, tmp_path: Path) -> None:
    plugin = start_plugin(PRINTING)
    assert "logged to stdout" in plugin.wait_for_log("logged to stdout")
    assert not plugin.call("OnActivate").error.id
    plugin.wait_for_log("logged to stdout, too")
    assert len(plugin.log()) < 2000
    assert "logged to stdout" in (tmp_path / "own.log").read_text()
    plugin.shut_down()
    assert plugin.wait() == 0
    assert (tmp_path / "ended").exists()


#: What people do to logging, and to stderr, once the plugin runs.
RECIPES = {
    "a stderr that logs": """
        class StreamToLogger:
            def __init__(self, logger):
                self.logger = logger
            def write(self, text):
                for line in text.rstrip().splitlines():
                    self.logger.error(line)
            def flush(self):
                pass
        sys.stderr = StreamToLogger(logging.getLogger("stderr"))
        print("words to stderr", file=sys.stderr)
    """,
    "another configuration": """
        logging.config.dictConfig({"version": 1, "root": {"handlers": []}, "loggers": {"P": {"level": "ERROR"}}})
    """,
    "basicConfig by force": "logging.basicConfig(force=True, level=logging.CRITICAL)",
    "handlers cleared": "logging.getLogger().handlers.clear()",
    "a stderr that is closed": "sys.stderr.close()",
    "no stderr": "sys.stderr = None",
    "another descriptor 2": """
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
    """,
    "logging that is disabled": "logging.disable(logging.WARNING)",
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_no_recipe_hides_why_a_handler_has_failed(start_plugin: StartPlugin, recipe: str) -> None:
    source = f"""
    import logging, logging.config

    class P(Plugin):
        @hook(HookName.OnActivate)
        def activate(self):
{textwrap.indent(textwrap.dedent(recipe), " " * 12)}
            print("printed afterwards")
            raise ValueError("why it failed")

    run_plugin(P)
    """
    plugin = start_plugin(source)
    assert "why it failed" in plugin.call("OnActivate").error.message
    log = plugin.wait_for_log("ValueError: why it failed")
    assert '"@module": "stdout"' in log or "disable" in recipe
    if "StreamToLogger" in recipe:
        assert log.count('"@message": "words to stderr"') == 1


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_every_text_arrives_in_every_locale(start_plugin: StartPlugin, locale: str) -> None:
    source = """
    class P(Plugin):
        @hook(HookName.OnActivate)
        def activate(self):
            self.logger.info("日本 %s", os.fsdecode(bytes([0xe9])))
            sys.stderr.write("écrit à stderr\\n")
            print("imprimé")

    run_plugin(P)
    """
    variables = {"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    plugin = start_plugin(source, **variables)
    plugin.call("OnActivate")
    log = plugin.wait_for_log("imprimé")
    assert "日本 \\udce9" in log
    assert "écrit à stderr" in log
    for line in log.splitlines():
        assert not line.startswith("{") or json.loads(line)


def test_a_line_without_an_end_is_not_gone_through_again_and_again() -> None:
    stream = io.StringIO()
    logger = logging.Logger("stdout")
    logger.addHandler(HclogHandler(stream))
    writer = LogWriter(logger)
    # Each of them looked at all that was there before: that took a quarter of an hour.
    for _ in range(2_000_000):
        writer.write(".")
    writer.write("\nlast\n")
    messages = [json.loads(line)["@message"] for line in stream.getvalue().splitlines()]
    assert "".join(messages[:-1]) == "." * 2_000_000
    assert messages[-1] == "last" and max(map(len, messages)) < 64 * 1024
