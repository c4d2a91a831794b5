"""When jobs run: cron expressions, and what becomes of times that nobody could keep. Time is made up here."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable
from datetime import datetime, timedelta, timezone
from typing import Any, Callable

import pytest

from effect_plugin._jobs import Background
from effect_plugin._schedule import Clock, Cron, Every
from mattermost_plugin import HookRegistrationError, Plugin, cron, every

from .conftest import LIMIT, StartPlugin


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


class MadeUpClock(Clock):
    """Stands still but for sleeps, which take no time at all. `then` is what happens in the next sleep."""

    def __init__(self, now: str) -> None:
        self.time = at(now)
        self.slept: list[float] = []
        self.then: Callable[[], None] | None = None

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)
        then, self.then = self.then, None
        if then is not None:
            then()
        await asyncio.sleep(0)

    def pass_by(self, **time: float) -> None:
        """Time that nobody slept for: the machine did, or a job ran."""
        self.time += timedelta(**time)


def times(expression: str, zone: str, start: str, count: int) -> list[str]:
    schedule, moment, found = Cron(expression, zone), at(start), []
    for _ in range(count):
        moment = schedule.after(moment)
        found.append(f"{moment:%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 9 * * mon-fri", ["01-01 09:30", "01-02 09:30", "01-05 09:30"]),
        ("*/20 * * * *", ["01-01 00:20", "01-01 00:40", "01-01 01:00"]),
        ("0 0 1,15 * *", ["01-15 00:00", "02-01 00:00", "02-15 00:00"]),
        ("0 12 * Feb Sun", ["02-01 12:00", "02-08 12:00", "02-15 12:00"]),
        ("@hourly", ["01-01 01:00", "01-01 02:00", "01-01 03:00"]),
        ("@daily", ["01-02 00:00", "01-03 00:00", "01-04 00:00"]),
        (" @Weekly ", ["01-04 00:00", "01-11 00:00", "01-18 00:00"]),
        ("@monthly", ["02-01 00:00", "03-01 00:00", "04-01 00:00"]),
        ("@yearly", ["01-01 00:00", "01-01 00:00"]),
    ],
)
def test_times_of_expressions(expression: str, expected: list[str]) -> None:
    # A Thursday.
    assert times(expression, "UTC", "2026-01-01T00:00:00", len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        # Vienna is an hour before UTC, two in summer. On 29 March it has no 02:30, on 25 October it has two.
        ("30 9 * * *", "2026-03-28T00:00:00", ["03-28 08:30", "03-29 07:30", "03-30 07:30"]),
        ("30 2 * * *", "2026-03-28T00:00:00", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        ("30 2 * * *", "2026-10-24T00:00:00", ["10-24 00:30", "10-25 00:30", "10-26 01:30"]),
        ("*/30 * * * *", "2026-10-25T00:00:00", ["10-25 00:30", "10-25 01:00", "10-25 01:30"]),
        # Asked between the two: the second one is not kept.
        ("30 2 * * *", "2026-10-25T01:00:00", ["10-26 01:30"]),
    ],
)
def test_clocks_that_are_changed(expression: str, start: str, expected: list[str]) -> None:
    assert times(expression, "Europe/Vienna", start, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "zone", "message"),
    [
        ("61 * * * *", "UTC", r"'61 \* \* \* \*' is no cron expression \(Bad minute\): it has the fields minute, hour"),
        ("* * * *", "UTC", r"it has 4 fields"),
        ("0 * * * * *", "UTC", r"it has 6 fields"),
        ("", "UTC", r"it has 0 fields.*'30 9 \* \* mon-fri', or is one of @yearly"),
        ("@reboot", "UTC", r"it has 1 fields"),
        ("* * 31 2 *", "UTC", "Bad day-of-month"),
        ("* * */20 * 1L", "UTC", "never comes: within fifty years there is no such day"),
        ("* * * * *", "Vienna", r"there is no time zone 'Vienna'; name one as in 'Europe/Vienna'"),
        ("* * * * *", "../etc", r"there is no time zone '../etc'"),
    ],
)
def test_what_is_no_schedule_fails_when_the_class_is_made(expression: str, zone: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cron(expression, timezone=zone)


def test_wrong_methods() -> None:
    with pytest.raises(HookRegistrationError, match=r"can't handle a job: it must take \(self\)"):

        @cron("@daily")  # type: ignore[type-var]
        def wrong(self: Any, what: str) -> None: ...

    with pytest.raises(HookRegistrationError, match=r"Twice\.work has two schedules; keep one"):

        class Twice(Plugin):
            @cron("@daily")
            @every(seconds=1)
            def work(self) -> None: ...


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with pytest.raises(ImportError, match=r'pip install "effect-plugin-supervisor-sdk\[cron\]"'):
        cron("@daily")
    # Who does not use it needs none of it.
    every(seconds=1)


def test_a_wait_sees_changes_of_the_time_soon_and_ends_at_the_time() -> None:
    clock = MadeUpClock("2026-01-01T08:58:40")
    wait = Cron("0 * * * *", "UTC").begin(clock, "P.work")
    asyncio.run(_awaited(wait()))
    assert clock.time == at("2026-01-01T09:00:00")
    # Not all of it at once: a machine that sleeps counts no seconds.
    assert clock.slept == [30, 30, 20]


async def _awaited(what: Awaitable[None]) -> None:
    await what


def test_a_time_that_the_machine_slept_through_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    clock = MadeUpClock("2026-01-01T08:59:50")
    wait = Cron("0 * * * *", "UTC").begin(clock, "P.work")
    clock.then = lambda: clock.pass_by(hours=5, minutes=10)
    with caplog.at_level(logging.WARNING, "effect_plugin"):
        asyncio.run(_awaited(wait()))
    assert clock.time == at("2026-01-01T15:00:00"), "five are not made up for"
    assert [record.message for record in caplog.records] == [
        "P.work did not run at 2026-01-01 09:00 UTC: that was over when the machine, its clock, or the event loop went "
        "on; it runs again at 2026-01-01 15:00 UTC"
    ]


def test_a_little_late_is_in_time() -> None:
    clock = MadeUpClock("2026-01-01T08:59:50")
    wait = Cron("0 * * * *", "UTC").begin(clock, "P.work")
    clock.then = lambda: clock.pass_by(seconds=59)
    asyncio.run(_awaited(wait()))
    assert clock.time == at("2026-01-01T09:00:59")


def test_times_during_a_run_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    clock = MadeUpClock("2026-01-01T00:00:00")
    wait = Cron("*/10 * * * *", "UTC").begin(clock, "P.work")

    async def run_twice() -> None:
        await wait()
        clock.pass_by(minutes=25)
        await wait()

    with caplog.at_level(logging.WARNING, "effect_plugin"):
        asyncio.run(run_twice())
    assert clock.time == at("2026-01-01T00:40:00")
    assert [record.message for record in caplog.records] == [
        "P.work did not run at 2026-01-01 00:20 UTC: the run before had not ended; "
        "it runs again at 2026-01-01 00:40 UTC"
    ]


def test_a_clock_that_is_set_back_repeats_nothing() -> None:
    clock = MadeUpClock("2026-01-01T00:59:30")
    wait = Cron("0 * * * *", "UTC").begin(clock, "P.work")

    async def run_twice() -> None:
        await wait()
        clock.pass_by(minutes=-5)
        await wait()

    asyncio.run(run_twice())
    assert clock.time == at("2026-01-01T02:00:00")


def test_jobs_go_on_when_they_fail_never_overlap_and_end_when_they_are_stopped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = MadeUpClock("2026-01-01T00:00:00")
    runs: list[str] = []

    async def run() -> None:
        enough = asyncio.Event()
        at_work = 0

        async def nightly() -> None:
            nonlocal at_work
            at_work += 1
            assert at_work == 1
            runs.append(f"{clock.time:%d %H:%M}")
            # Longer than until the next.
            await clock.sleep(90)
            at_work -= 1
            if len(runs) == 2:
                raise ValueError("of the second")
            if len(runs) == 4:
                enough.set()
                await asyncio.Event().wait()

        background = Background(asyncio.get_running_loop(), clock)
        background.start_jobs({nightly: Cron("* * * * *", "UTC")})
        await enough.wait()
        background.stop_jobs()
        await background.end()

    with caplog.at_level(logging.ERROR, "effect_plugin"):
        asyncio.run(asyncio.wait_for(run(), LIMIT))
    assert runs == ["01 00:01", "01 00:03", "01 00:05", "01 00:07"]
    (failure,) = caplog.records
    assert failure.message.endswith("nightly failed; it runs again at the next time of '* * * * *' in UTC")


def test_an_interval_begins_when_a_run_has_ended() -> None:
    async def pauses(schedule: Every) -> list[float]:
        clock = MadeUpClock("2026-01-01T00:00:00")
        wait = schedule.begin(clock, "P.work")
        await wait()
        clock.pass_by(hours=1)
        await wait()
        return clock.slept

    assert asyncio.run(pauses(Every(60, at_once=False))) == [60, 60]
    assert asyncio.run(pauses(Every(60, at_once=True))) == [0, 60]


CRON = """
    from datetime import timedelta
    from effect_plugin._schedule import Clock

    really_now = Clock.now
    ahead = []

    def now(self):
        # When a job first asks, the next minute begins soon.
        time = really_now(self)
        ahead.append(timedelta(seconds=59.8 - time.second - time.microsecond / 1e6))
        return time + ahead[0]

    Clock.now = now

    class P(Plugin):
        @cron("* * * * *", timezone="Europe/Vienna")
        def work(self):
            raise ValueError("of a job")

        @cron("0 0 1 1 *")
        async def seldom(self):
            self.logger.info("a run")

    run_plugin(P)
"""


def test_a_job_of_a_real_plugin(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(CRON)
    plugin.call("OnActivate")
    log = plugin.wait_for_log("ValueError: of a job")
    assert "P.work failed; it runs again at the next time of '* * * * *' in Europe/Vienna" in log
    plugin.shut_down()
    assert plugin.wait() == 0
    assert "a run" not in plugin.log() and "did not end" not in plugin.log()


def test_a_plugin_with_a_wrong_expression_does_not_start(start_plugin: StartPlugin) -> None:
    plugin = start_plugin("""
    class P(Plugin):
        @cron("every day")
        def work(self): ...

    run_plugin(P)
    """)
    assert plugin.handshake == "" and plugin.wait() == 1
    assert "'every day' is no cron expression" in plugin.log()
