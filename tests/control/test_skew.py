"""Skew: ticks are compared once every bot could have reported them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.control.skew import SETTLE_NS, TICKS_MAX, UNCERTAINTY_NS, Skew
from feed.metrics.histogram import Histogram


@pytest.fixture
def spread() -> Histogram:
    return Histogram()


def test_from_the_first_bot_to_the_last(spread: Histogram) -> None:
    skew = Skew(spread)
    assert skew.put("a", 1, [(64, 100), (128, 200)], 0, 0) == {}
    assert skew.put("b", 1, [(64, 150), (128, 290)], 0, 5) == {}
    assert skew.put("c", 1, [(64, 90)], 0, 9) == {}
    assert skew.put("d", 1, [], 0, SETTLE_NS) == {"a": 0, "b": 60, "c": 0}
    assert (spread.count, spread.max_ns, spread.sum_ns) == (2, 90, 150)


def test_a_tick_that_one_bot_had_says_nothing(spread: Histogram) -> None:
    skew = Skew(spread)
    skew.put("a", 1, [(64, 100)], 0, 0)
    assert skew.put("a", 1, [], 0, SETTLE_NS) == {}
    assert spread.count == 0


def test_numbers_of_another_epoch_are_other_ticks(spread: Histogram) -> None:
    skew = Skew(spread)
    skew.put("a", 1, [(64, 100)], 0, 0)
    skew.put("b", 2, [(64, 500)], 0, 0)
    assert skew.put("b", 2, [], 0, SETTLE_NS) == {}


def test_a_bot_whose_clock_is_not_known_is_not_compared(spread: Histogram) -> None:
    skew = Skew(spread)
    skew.put("a", 1, [(64, 100)], 0, 0)
    skew.put("b", 1, [(64, 110)], UNCERTAINTY_NS, 0)
    skew.put("far", 1, [(64, 10**9)], UNCERTAINTY_NS + 1, 0)
    assert skew.put("a", 1, [], 0, SETTLE_NS) == {"a": 0, "b": 10}


def test_a_clock_that_steps_back_holds_nothing_up(spread: Histogram) -> None:
    skew = Skew(spread)
    skew.put("a", 1, [(64, 100)], 0, 10**18)
    skew.put("b", 1, [(64, 110)], 0, 10**18)
    assert skew.put("a", 1, [], 0, 5) == {"a": 0, "b": 10}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**48), st.integers(0, 2**62)), max_size=200))
def test_it_stays_bounded(samples: list[tuple[int, int, int]]) -> None:
    skew = Skew(Histogram())
    for i in range(TICKS_MAX // 32):
        skew.put("flood", 1, [(j, 0) for j in range(64 * i, 64 * i + 64)], 0, 0)
    for bot, seq, had_ns in samples:
        skew.put(str(bot), 1, [(seq, had_ns)], 0, 0)
    skew.put("a", 1, [], 0, SETTLE_NS)
    assert skew.put("a", 1, [], 0, SETTLE_NS) == {}
