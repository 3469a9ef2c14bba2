"""A place in a feed's stream as people write it: a sequence number, or a time. Pure."""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple

from feed.errors import ConfigError

__all__ = ["ALLOWED", "TIME_MIN_NS", "Position"]

ALLOWED = 'a time such as "2024-07-01T13:30:00.5Z" (ISO 8601, UTC without a zone), ns since 1970, or a sequence number'

TIME_MIN_NS = 10**15
"""Whole numbers from here on are times, in ns since 1970 (this one is of 12 January 1970); smaller ones are sequence
numbers (it would take 8 years of 4 million ticks/s to come so far)."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_SECOND = datetime.timedelta(seconds=1)
_FRACTION = re.compile(r"(?<=:\d\d)[.,](\d{1,9})(?!\d)")


class Position(NamedTuple):
    """One of the two is set, the other 0; the beginning or the end of everything is neither."""

    seq: int = 0
    time_ns: int = 0

    @staticmethod
    def parse(text: str, *, where: str | None = None) -> Position:
        """What `ALLOWED` says; "" is neither. Raises ConfigError for anything else, and for a sequence number 0."""
        if not text:
            return Position()
        wrong = ConfigError("not a place in a feed's stream", expected=ALLOWED, found=repr(text), where=where)
        if text.isascii() and text.isdigit():
            number = int(text)
            if not 0 < number < 2**64:
                raise wrong
            return Position(seq=number) if number < TIME_MIN_NS else Position(time_ns=number)
        fraction = _FRACTION.search(text)  # Python keeps microseconds only
        try:
            at = datetime.datetime.fromisoformat(_FRACTION.sub("", text, 1))
        except ValueError:
            raise wrong from None
        if at.tzinfo is None:
            at = at.replace(tzinfo=datetime.UTC)
        time_ns = (at - _EPOCH) // _SECOND * 10**9 + (int(fraction[1].ljust(9, "0")) if fraction else 0)
        if not 0 < time_ns < 2**64:
            raise wrong
        return Position(time_ns=time_ns)

    def __str__(self) -> str:
        """As `parse` reads it."""
        if not self.time_ns:
            return f"{self.seq}" if self.seq else ""
        seconds, ns = divmod(self.time_ns, 10**9)
        try:
            at = _EPOCH + seconds * _SECOND
        except OverflowError:
            return f"{self.time_ns}"
        return f"{at:%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"
