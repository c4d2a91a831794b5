"""When jobs run: every so many seconds, or at the times of a cron expression."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, NamedTuple, Protocol

from .logs import own_logger

#: The longest sleep, in seconds. Sleeps are timed by a clock that stands still while the machine sleeps; so whoever
#: waits for a time of day looks at the time now and then.
_LOOK = 30.0

#: A run that would begin later than this is left out.
_LATE = timedelta(minutes=1)

#: What cron calls these.
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_log = own_logger("effect_plugin")


class Clock:
    """The time, and how to let it pass."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(timezone.utc)

    async def sleep(self, seconds: float) -> None:
        """Lets some seconds pass."""
        await asyncio.sleep(seconds)


#: Waits until a job is to run. Called for the first time, and again whenever a run has ended.
Wait = Callable[[], Awaitable[None]]


class Schedule(Protocol):
    """When a job runs. Its text ends the sentence "it runs again"."""

    def begin(self, clock: Clock, job: str) -> Wait:
        """Begins now, for the job of this name."""
        ...


class Every(NamedTuple):
    """Runs with so many seconds between them."""

    seconds: float
    at_once: bool

    def __str__(self) -> str:
        return f"in {self.seconds:g} s"

    def begin(self, clock: Clock, job: str) -> Wait:
        """See `Schedule`."""
        pauses = itertools.chain([0.0 if self.at_once else self.seconds], itertools.repeat(self.seconds))
        return lambda: clock.sleep(next(pauses))


class Cron:
    """Runs at the times of a cron expression, which is read as Debian's cron reads it."""

    def __init__(self, expression: str, zone: str) -> None:
        """Raises ValueError for what is no expression or names no time zone, ImportError without cronsim."""
        try:
            # Imported by those only who use it: it comes with an extra of the package.
            from cronsim import CronSim
        except ImportError as error:
            raise ImportError(
                f'@cron needs cronsim ({error}): pip install "effect-plugin-supervisor-sdk[cron]"'
            ) from error
        self._simulation: Callable[[str, datetime], Any] = CronSim
        self._said = f"{expression!r} in {zone}"
        self._fields = _MACROS.get(expression.strip().lower(), expression)
        self._zone = _zone(zone)
        count = len(self._fields.split())
        try:
            if count != 5:
                raise ValueError(f"it has {count} fields")
            first = self._next(datetime.now(timezone.utc))
        except Exception as error:
            raise ValueError(
                f"{expression!r} is no cron expression ({error}): it has the fields minute, hour, day of the month, "
                f"month, and day of the week, as in '30 9 * * mon-fri', or is one of {', '.join(_MACROS)}"
            ) from None
        if first is None:
            raise ValueError(f"{expression!r} never comes: within fifty years there is no such day")

    def __str__(self) -> str:
        return f"at the next time of {self._said}"

    def _next(self, moment: datetime) -> datetime | None:
        found = next(self._simulation(self._fields, moment.astimezone(self._zone)), None)
        # Times of one zone are compared as their clock shows them, which goes back once a year.
        return None if found is None else found.astimezone(timezone.utc)

    def after(self, moment: datetime) -> datetime:
        """The first time after a moment, in UTC."""
        found = self._next(moment)
        while found is not None and found <= moment:
            # In the hour that comes twice, a time of it is the first one's.
            found = self._next(found)
        return found or datetime.max.replace(tzinfo=timezone.utc)

    def begin(self, clock: Clock, job: str) -> Wait:
        """See `Schedule`. A time that is over when it could be kept is left out, and logged."""
        due = self.after(clock.now())

        def leave_out(why: str) -> datetime:
            following = self.after(clock.now())
            _log.warning("%s did not run at %s: %s; it runs again at %s", job, _shown(due), why, _shown(following))
            return following

        async def wait() -> None:
            nonlocal due
            if due <= clock.now():
                due = leave_out("the run before had not ended")
            while True:
                while (left := (due - clock.now()).total_seconds()) > 0:
                    await clock.sleep(min(left, _LOOK))
                if clock.now() - due <= _LATE:
                    due = self.after(due)
                    return
                due = leave_out("that was over when the machine, its clock, or the event loop went on")

        return wait


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _zone(name: str) -> Any:
    if name == "UTC":
        # Known to Python, on machines that know no other.
        return timezone.utc
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except Exception:
        raise ValueError(
            f"there is no time zone {name!r}; name one as in 'Europe/Vienna' (where the machine has none at all, "
            "pip install tzdata)"
        ) from None
