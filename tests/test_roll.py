"""When sessions roll over, across changes of the clock."""

from __future__ import annotations

import datetime
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import ConfigError
from feed.roll import Roll

DAY_NS = 86_400 * 10**9
HOUR_NS = 3600 * 10**9
NOW_2100_NS = 4_102_444_800 * 10**9


def ns(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).timestamp()) * 10**9


def roll(text: str) -> Roll:
    found = Roll.parse(text)
    assert found is not None
    return found


def test_no_roll() -> None:
    assert Roll.parse("") is None


def test_the_next_one_is_strictly_later() -> None:
    chicago = roll("17:00 America/Chicago")
    at = ns("2024-07-01T17:00:00-05:00")
    assert chicago.next_ns(at - 1) == at
    assert chicago.next_ns(at) == at + DAY_NS


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("17:00 America/Chicago", "2024-03-09T18:00:00-06:00", "2024-03-10T17:00:00-05:00"),  # a day of 23 hours
        ("17:00 America/Chicago", "2024-11-02T18:00:00-05:00", "2024-11-03T17:00:00-06:00"),  # one of 25
        ("02:30 America/Chicago", "2024-03-10T00:00:00-06:00", "2024-03-10T03:30:00-05:00"),  # there is no 02:30
        ("01:30 America/Chicago", "2024-11-03T00:00:00-05:00", "2024-11-03T01:30:00-05:00"),  # twice: the first
        ("01:30 America/Chicago", "2024-11-03T01:30:00-05:00", "2024-11-04T01:30:00-06:00"),  # and not again
        ("00:00 Asia/Kathmandu", "2024-07-01T00:00:00+05:45", "2024-07-02T00:00:00+05:45"),
        ("12:00 Pacific/Apia", "2011-12-29T13:00:00-10:00", "2011-12-31T12:00:00+14:00"),  # without a 30 December
        ("00:00 UTC", "1970-01-01T00:00:00+00:00", "1970-01-02T00:00:00+00:00"),
    ],
)
def test_changes_of_the_clock(text: str, after: str, expected: str) -> None:
    assert roll(text).next_ns(ns(after)) == ns(expected)


ZONES = st.sampled_from(["America/Chicago", "Europe/London", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"])


@given(ZONES, st.times().map(lambda t: f"{t:%H:%M}"), st.integers(0, NOW_2100_NS))
def test_rolls_follow_each_other_by_a_day_give_or_take_an_hour(zone: str, time: str, after: int) -> None:
    every = roll(f"{time} {zone}")
    first = every.next_ns(after)
    second = every.next_ns(first)
    assert after < first <= after + 25 * HOUR_NS
    assert DAY_NS - HOUR_NS <= second - first <= DAY_NS + HOUR_NS
    assert every.next_ns(second - 1) == second
    local = datetime.datetime.fromtimestamp(first // 10**9, zoneinfo.ZoneInfo(zone))
    assert first % (60 * 10**9) == 0
    assert f"{local:%H:%M}" == time or local.utcoffset() != (local - datetime.timedelta(hours=2)).utcoffset()


@pytest.mark.parametrize("wrong", ["17:00", "24:00 UTC", "7:00 UTC", "17:00 Chicago", "17:00 ../etc", "17:00  UTC"])
def test_what_is_none(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"expected .* such as"):
        Roll.parse(wrong)
