"""Figures for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.metrics.words import BARS, LOOKS, Trends, duration, sparkline


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "-"),
        (0, "0 ns"),
        (420, "420 ns"),
        (999.4, "999 ns"),
        (999.6, "1 µs"),
        (13_400, "13.4 µs"),
        (1_234_567, "1.23 ms"),
        (-2_000_000, "-2 ms"),
        (5_000_000_000, "5 s"),
        (4_000_000_000_000, "4,000 s"),
    ],
)
def test_durations_for_people(ns: float | None, text: str) -> None:
    assert duration(ns) == text


def test_what_doubles_rises_evenly() -> None:
    assert sparkline([100, 200, 400, 800]) == "▁▃▆█"
    assert sparkline([1e9, 2e9, 4e9, 8e9]) == "▁▃▆█"


def test_what_is_even_is_low_and_what_is_not_known_is_left_out() -> None:
    assert sparkline([5, None, 5]) == "▁ ▁"
    assert sparkline([None, None]) == "  "


@given(st.lists(st.none() | st.floats(0, 1e18), max_size=50))
def test_bars_are_in_the_order_of_values(values: list[float | None]) -> None:
    line = sparkline(values)
    assert len(line) == len(values)
    known = sorted((value, BARS.index(bar)) for value, bar in zip(values, line, strict=True) if value is not None)
    assert [bar for _, bar in known] == sorted(bar for _, bar in known)


def test_trends_keep_the_last_values_of_each_figure() -> None:
    trends = Trends()
    for i in range(LOOKS + 5):
        trends.line("other", 7)
        line = trends.line("lag", 2.0**i)
    assert len(line) == LOOKS
    assert line[0] == BARS[0]
    assert line[-1] == BARS[-1]
