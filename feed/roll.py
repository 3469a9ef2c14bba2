"""When trading sessions roll over: ``feed.roll = "17:00 America/Chicago"``. Pure: the time comes in by argument."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from dataclasses import dataclass

from feed.errors import ConfigError

__all__ = ["ALLOWED", "Roll"]

ALLOWED = '"" or a time and a zone, such as "17:00 America/Chicago"'

_DAY = datetime.timedelta(days=1)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


@dataclass(frozen=True)
class Roll:
    """A time of day in a zone of the IANA data base, once on every date of that zone's calendar.

    Where the clock is put forward over it, the roll comes as long after the last minute that existed as it would have
    come without (02:30 becomes 03:30); where it is put back over it, the first of the two is the roll.
    """

    time: datetime.time
    zone: zoneinfo.ZoneInfo

    @staticmethod
    def parse(text: str, *, where: str | None = None) -> Roll | None:
        """The setting ``feed.roll``; None for "", which is never. Raises ConfigError."""
        if not text:
            return None
        time, _, zone = text.partition(" ")
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", time):
            raise ConfigError("not a time of day", expected=ALLOWED, found=repr(text), where=where)
        try:
            return Roll(datetime.time.fromisoformat(time), zoneinfo.ZoneInfo(zone))
        except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
            known = "" if zoneinfo.available_timezones() else "This machine knows none: install the package tzdata"
            raise ConfigError(
                "not a time of day in a known zone",
                expected=ALLOWED,
                found=repr(text),
                where=where,
                remedy=known or None,
            ) from None

    def next_ns(self, after_ns: int) -> int:
        """The first roll after `after_ns`, both in ns since 1970."""
        day = (_EPOCH + datetime.timedelta(seconds=after_ns // 10**9)).astimezone(self.zone).date() - _DAY
        while True:
            at = datetime.datetime.combine(day, self.time, self.zone).astimezone(datetime.UTC)
            roll_ns = (at - _EPOCH) // _MICROSECOND * 1000
            if roll_ns > after_ns:
                return roll_ns
            day += _DAY
