"""Which day a venue's file is of, as its name says, and when that day began in New York."""

from __future__ import annotations

import datetime
import re
from zoneinfo import ZoneInfo

__all__ = ["date_of_name", "midnight_ns"]

_NAMES = (
    re.compile(r"^(?P<m>\d{2})(?P<d>\d{2})(?P<y>\d{4})\.NASDAQ_ITCH"),  # 01302020.NASDAQ_ITCH50
    re.compile(r"^S(?P<m>\d{2})(?P<d>\d{2})(?P<y>\d{2})-v5"),  # S013020-v50.txt
    re.compile(r"(?<!\d)(?P<y>\d{4})-?(?P<m>\d{2})-?(?P<d>\d{2})(?!\d)"),  # 20200130.BX_ITCH_50, aapl-2020-01-30.bin
)


def date_of_name(name: str) -> datetime.date | None:
    """The day of a file called so, as Nasdaq names them or with YYYYMMDD or YYYY-MM-DD in it; None: it says none."""
    for pattern in _NAMES:
        if found := pattern.search(name):
            year = int(found["y"])
            try:
                return datetime.date(year if year > 99 else 2000 + year, int(found["m"]), int(found["d"]))
            except ValueError:
                continue
    return None


def midnight_ns(day: datetime.date) -> int:
    """When that day began in New York, ns since 1970."""
    began = datetime.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("America/New_York"))
    return int(began.timestamp()) * 10**9
