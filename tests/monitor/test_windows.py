"""feed.monitor.windows: against quantiles of the raw values, through restarts, disappearances and missed seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.metrics.histogram import TOP_NS, Histogram, bucket_floors_ns
from feed.monitor.windows import QUANTILES, WINDOWS, Windows

S = 1_000_000_000
BOUND = 0.008  # of a histogram's bucket: its middle against any value in it
MAX_BOUND = 1 / 64  # of its end
LAST_NS = int(bucket_floors_ns()[-1])
"""From here on values share the last bucket, which only has a longest."""

KEYS = [("bot", "a"), ("bot", "b")]


@dataclass
class Raw:
    """A histogram beside everything that was ever put into it, by second."""

    histogram: Histogram = field(default_factory=Histogram)
    came: list[tuple[int, int]] = field(default_factory=list)

    def record(self, second: int, values: list[int]) -> None:
        for ns in values:
            self.histogram.record(ns)
            self.came.append((second, ns))

    def within(self, window: str, now: int) -> list[int]:
        """Values of the window, negative ones too; the 15 minutes end with the block of ten seconds that is open."""
        seconds, step = WINDOWS[window]
        return [ns for second, ns in self.came if second // step > now // step - seconds // step]


def check(windows: Windows, window: str, raws: dict[tuple[str, ...], Raw], now: int) -> None:
    found = windows.figures(window, KEYS)
    assert list(found) == [key for key in KEYS if key in raws]
    for key, raw in raws.items():
        of, values = found[key], raw.within(window, now)
        ns = sorted(value for value in values if value >= 0)
        assert (of.n, of.negative) == (len(ns), len(values) - len(ns))
        if not ns:
            assert (of.values_ns, of.max_ns) == (None, None)
            continue
        assert of.values_ns is not None
        assert of.max_ns is not None
        assert ns[-1] <= of.max_ns
        assert of.max_ns <= max(ns[-1] * (1 + MAX_BOUND), ns[-1]) or ns[-1] >= LAST_NS
        for quantile, shown in zip(QUANTILES, of.values_ns, strict=True):
            rank = max(1, math.ceil(quantile * len(ns)))
            exact = ns[rank - 1]
            if exact < LAST_NS:
                # The topmost stands for the longest, whose own bound it is.
                assert shown == pytest.approx(exact, rel=MAX_BOUND if rank == len(ns) else BOUND)


values = st.lists(
    st.one_of(
        st.integers(-5, 300), st.integers(5_000, 60_000), st.integers(10**6, 10**9), st.integers(TOP_NS - 5, 2**40)
    ),
    max_size=12,
)
seconds = st.tuples(
    st.sampled_from([1, 1, 1, 1, 2, 7, 60, 333, 1_000]),  # since the one before
    st.sampled_from(["", "", "", "", "anew", "gone"]),  # what becomes of the second histogram
    values,
    values,
)


@settings(deadline=None, max_examples=60)
@given(start=st.integers(0, 10**6), before=values, steps=st.lists(seconds, max_size=25))
def test_quantiles_are_those_of_the_raw_values(
    start: int, before: list[int], steps: list[tuple[int, str, list[int], list[int]]]
) -> None:
    first = Raw()
    for ns in before:  # what was there before anybody watched is in no window
        first.histogram.record(ns)
    raws: dict[tuple[str, ...], Raw] = {KEYS[0]: first}
    windows, now = Windows({KEYS[0]: first.histogram}), start
    for gap, fate, of_first, of_second in steps:
        now += gap
        first.record(now, of_first)
        if fate == "gone":
            raws.pop(KEYS[1], None)
        else:
            second = raws.setdefault(KEYS[1], Raw())
            had = second.histogram.snapshot()
            if fate == "anew":
                second.histogram = Histogram()
            second.record(now, of_second)
            if fate == "anew" and had.any() and (second.histogram.snapshot() >= had).all():
                # It cannot be told from one that went on: what is new is the difference.
                return
        windows.put(now * S, {key: raw.histogram for key, raw in raws.items()})
        for window in WINDOWS:
            check(windows, window, raws, now)


def test_the_longest_is_exact_while_it_is_a_record_and_a_bound_after_that() -> None:
    histogram = Histogram()
    histogram.record(5_000_123)
    windows = Windows({KEYS[0]: histogram})
    histogram.record(20_001)
    windows.put(100 * S, {KEYS[0]: histogram})
    of = windows.figures("10s", KEYS)[KEYS[0]]
    assert (of.n, of.max_ns) == (1, 20_223)  # the end of its bucket, not the 5 ms of long ago
    histogram.record(7_000_321)
    windows.put(101 * S, {KEYS[0]: histogram})
    assert windows.figures("10s", KEYS)[KEYS[0]].max_ns == 7_000_321


def test_many_histograms_come_and_go() -> None:
    windows = Windows()
    for second in range(1_000, 1_030):
        present: dict[tuple[str, ...], Histogram] = {}
        for bot in range(second % 7, 60):
            histogram = present["bot", str(bot)] = Histogram()
            histogram.record_n(1_000 * (bot + 1), 5_000 - second)
        windows.put(second * S, present)
        found = windows.figures("10s", list(present))
        # Each fell or is new, so all of it came just now; earlier ones of the same name are in the window with it.
        assert all(of.values_ns is not None and of.n >= 5_000 - second for of in found.values())
        assert {key: of.max_ns for key, of in found.items()} == {
            key: histogram.max_ns for key, histogram in present.items()
        }


def test_counts_that_nobody_can_have_do_not_overflow() -> None:
    histogram = Histogram()
    windows = Windows({KEYS[0]: histogram})
    for second in range(30):
        histogram.record_n(500, 2**48)
        histogram.record(9_000)
        windows.put(second * S, {KEYS[0]: histogram})
    of = windows.figures("15m", KEYS)[KEYS[0]]
    assert of.n > 0
    assert of.values_ns is not None
    assert of.values_ns[0] == pytest.approx(500, rel=BOUND)
    assert of.max_ns == 9_000


def test_the_share_within_a_bound() -> None:
    one, other = Histogram(), Histogram()
    windows = Windows()
    present: dict[tuple[str, ...], Histogram] = {KEYS[0]: one, KEYS[1]: other}
    windows.put(S, present)
    assert windows.within("10s", KEYS, 10_000) is None
    one.record_n(5_000, 30)
    other.record_n(50_000, 10)
    windows.put(2 * S, present)
    assert windows.within("10s", KEYS, 10_000) == 0.75
    assert windows.within("10s", KEYS[:1], 10_000) == 1
    assert windows.merged("10s", KEYS).sum() == 40
    assert windows.merged("10s", [("nobody",)]).sum() == 0
    windows.put(20 * S, present)
    assert windows.within("10s", KEYS, 10_000) is None
    assert windows.within("1m", KEYS, 10_000) == 0.75
