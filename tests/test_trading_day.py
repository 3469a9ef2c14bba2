from __future__ import annotations

import datetime

import pytest

from feed.trading_day import date_of_name, midnight_ns


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("01302020.NASDAQ_ITCH50.gz", "2020-01-30"),
        ("S013020-v50.txt.gz", "2020-01-30"),
        ("20190730.BX_ITCH_50.gz", "2019-07-30"),
        ("20180130.PSX_ITCH_50", "2018-01-30"),
        ("aapl-2020-01-30.bin", "2020-01-30"),
        ("13302020.NASDAQ_ITCH50", None),
        ("locate-13-10k.bin", None),
        ("120200130.bin", None),
    ],
)
def test_a_file_s_name_says_its_day(name: str, day: str | None) -> None:
    assert date_of_name(name) == (datetime.date.fromisoformat(day) if day else None)


def test_a_day_begins_in_new_york_in_winter_and_in_summer() -> None:
    assert midnight_ns(datetime.date(2020, 1, 30)) == 1_580_360_400 * 10**9
    assert midnight_ns(datetime.date(2020, 7, 30)) == 1_596_081_600 * 10**9
