"""bots.offset: the true offset lies within the bound, whatever the trips were like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bots.offset import DRIFT_PPM, Offset, RoundTrips

EPOCH_NS = 1_700_000_000_000_000_000

delays = st.integers(0, 100_000_000)


def trip(trips: RoundTrips, ahead_ns: int, there_ns: int, served_ns: int, back_ns: int, at_ns: int = 0) -> None:
    """One whose parts took so long, between a feed and a bot whose clock is ahead by `ahead_ns`."""
    sent = EPOCH_NS + at_ns + ahead_ns
    received = EPOCH_NS + at_ns + there_ns
    answered = received + served_ns
    trips.put(sent, received, answered, answered + back_ns + ahead_ns, at_ns)


@given(st.integers(-(10**12), 10**12), st.lists(st.tuples(delays, delays, delays), min_size=1, max_size=20))
def test_the_true_offset_lies_within_the_bound(ahead_ns: int, parts: list[tuple[int, int, int]]) -> None:
    trips = RoundTrips()
    for each in parts:
        trip(trips, ahead_ns, *each)
    best = trips.best(0)
    assert best is not None
    assert abs(best.ns - ahead_ns) <= best.uncertainty_ns
    shortest = min(there + back for there, _, back in parts)
    assert best.uncertainty_ns == (shortest + 1) // 2


def test_nothing_is_known_before_the_first_trip() -> None:
    assert RoundTrips().best(0) is None


def test_an_old_short_trip_gives_way_to_a_newer_one_once_clocks_may_have_drifted() -> None:
    trips = RoundTrips()
    trip(trips, 0, 50, 0, 50)
    assert trips.best(0) == Offset(0, 50)
    minute_ns = 60 * 10**9
    trip(trips, 0, 1000, 0, 1000, at_ns=minute_ns)
    assert trips.best(minute_ns) == Offset(0, 1000)
    assert trips.best(2 * minute_ns) == Offset(0, 1000 + minute_ns * DRIFT_PPM // 10**6)


def test_a_clock_that_steps_between_trips_forgets_those_before() -> None:
    trips = RoundTrips()
    trip(trips, 0, 10, 0, 10)
    trip(trips, 10**9, 500, 0, 500)
    assert trips.best(0) == Offset(10**9, 500)


def test_a_clock_that_is_set_back_during_a_trip_makes_no_sense() -> None:
    trips = RoundTrips()
    trip(trips, 0, 10, 0, 10)
    trips.put(EPOCH_NS, EPOCH_NS, EPOCH_NS, EPOCH_NS - 5, 0)
    assert trips.best(0) is None
