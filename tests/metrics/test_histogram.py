"""feed.metrics.histogram against exact arithmetic over the same values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.errors import PeerError
from feed.metrics.histogram import BUCKETS, TOP_NS, Histogram, bucket_floors_ns, bucket_index, bucket_middles_ns

QUANTILES = [0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1.0]

# Spread evenly over the octaves from 100 ns to 10 s, as latencies are, with runs of equal values.
nanoseconds = st.one_of(
    st.floats(math.log(100), math.log(10_000_000_000)).map(lambda x: round(math.exp(x))),
    st.integers(100, 10_000_000_000),
    st.sampled_from([100, 127, 128, 13_400, 100_000, 2**20 - 1, 2**20, 10_000_000_000]),
)
samples = st.lists(nanoseconds, min_size=1, max_size=400)


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.record_all(np.array(values, dtype=np.int64))
    return histogram


def state(histogram: Histogram) -> tuple[list[int], int, int, int]:
    return histogram.snapshot().tolist(), histogram.sum_ns, histogram.max_ns, histogram.negative


@given(samples)
@settings(max_examples=300)
def test_quantiles_are_within_one_percent_of_the_sorted_values(values: list[int]) -> None:
    exact = np.quantile(np.array(values), QUANTILES, method="inverted_cdf")
    assert np.allclose(filled(values).quantiles(QUANTILES), exact, rtol=0.01, atol=0)


@pytest.mark.parametrize("seed", range(4))
def test_quantiles_of_many_values_of_a_skewed_distribution(seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(math.log(13_400), 1.5, 200_000).clip(100, 1e10).astype(np.int64)
    histogram = Histogram()
    histogram.record_all(values)
    exact = np.quantile(values, QUANTILES, method="inverted_cdf")
    assert np.allclose(histogram.quantiles(QUANTILES), exact, rtol=0.01, atol=0)
    assert histogram.count == len(values)
    assert histogram.sum_ns == int(values.sum())


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=100))
def test_count_max_and_negatives_are_exact_whatever_comes_in(values: list[int]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    whole = [value for value in values if value >= 0]
    assert histogram.count == len(whole)
    assert histogram.negative == len(values) - len(whole)
    assert histogram.max_ns == max(whole, default=0)
    assert histogram.sum_ns == sum(whole) % 2**64
    if whole:
        assert histogram.quantile(1) == float(max(whole))


def test_values_beyond_the_range_share_the_edge_buckets() -> None:
    histogram = filled([0, 1, 63, 64, 99, TOP_NS, TOP_NS * 1000])
    counts = histogram.snapshot()
    assert [int(counts[i]) for i in (0, 1, 63, 64, 99)] == [1] * 5
    assert int(counts[BUCKETS - 1]) == 2
    assert histogram.max_ns == TOP_NS * 1000
    assert histogram.sum_ns == 0 + 1 + 63 + 64 + 99 + TOP_NS * 1001


def test_an_empty_histogram_has_no_quantiles() -> None:
    histogram = Histogram()
    histogram.record(-1)
    assert math.isnan(histogram.quantile(0.5))
    assert (histogram.count, histogram.sum_ns, histogram.max_ns, histogram.negative) == (0, 0, 0, 1)
    assert histogram.cumulative([100]) == [0, 0]


@pytest.mark.parametrize("qs", [[0.5, 0.4], [-0.1], [1.1], [math.nan]])
def test_quantiles_refuse_what_is_no_ascending_share(qs: list[float]) -> None:
    with pytest.raises(ValueError, match="quantiles must"):
        filled([5]).quantiles(qs)


def test_the_buckets_join_without_hole_or_overlap() -> None:
    floors = bucket_floors_ns().tolist()
    ends = [*floors[1:], TOP_NS]
    assert floors[0] == 0
    for index, (floor, end) in enumerate(zip(floors, ends, strict=True)):
        assert floor < end
        assert bucket_index(floor) == bucket_index(end - 1) == index
        assert end - floor == 1 or (end - floor) / floor <= 1 / 64
    assert np.all(np.diff(bucket_middles_ns()) > 0)


@given(samples, samples)
def test_merging_is_recording_both(a: list[int], b: list[int]) -> None:
    merged = filled(a)
    merged.merge(filled(b))
    assert state(merged) == state(filled(a + b))


@given(samples, samples, samples)
@settings(max_examples=50)
def test_merging_is_associative_and_commutative(a: list[int], b: list[int], c: list[int]) -> None:
    results = []
    for order in itertools.permutations((a, b, c)):
        left, tail = filled(order[0]), filled(order[1])
        left.merge(filled(order[1]))
        left.merge(filled(order[2]))
        tail.merge(filled(order[2]))
        right = filled(order[0])
        right.merge(tail)
        results += [state(left), state(right)]
    assert all(result == results[0] for result in results)


@given(samples, samples)
def test_since_gives_back_what_came_in_after_the_copy(a: list[int], b: list[int]) -> None:
    histogram = filled(a)
    before = histogram.copy()
    histogram.merge(filled(b))
    later = histogram.since(before)
    assert later.snapshot().tolist() == filled(b).snapshot().tolist()
    assert later.sum_ns == sum(b)
    assert max(b) <= later.max_ns <= max(b) * 1.016 + 1


def test_since_a_copy_from_before_a_new_epoch_never_wraps() -> None:
    later = filled([500]).since(filled([500, 500, 900]))
    assert state(later) == state(Histogram())


@given(samples, st.lists(st.integers(100, 10_000_000_000), min_size=1, max_size=24, unique=True))
def test_cumulative_counts_are_exact_to_within_a_bucket(values: list[int], edges: list[int]) -> None:
    edges.sort()
    counts = filled(values).cumulative(edges)
    assert counts == sorted(counts)
    assert counts[-1] == len(values)
    for edge, count in zip(edges, counts, strict=False):
        assert sum(v <= edge * (1 - 1 / 64) for v in values) <= count <= sum(v <= edge * (1 + 1 / 64) for v in values)


def test_record_n_is_n_times_record() -> None:
    one, many = Histogram(), Histogram()
    for _ in range(7):
        one.record(12_345)
        one.record(-3)
    many.record_n(12_345, 7)
    many.record_n(-3, 7)
    assert state(one) == state(many)


@given(samples)
def test_a_report_survives_json(values: list[int]) -> None:
    received = Histogram()
    received.merge_report(orjson.loads(orjson.dumps(filled(values).report())))
    assert state(received) == state(filled(values))


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"counts": [[BUCKETS, 1]], "sum_ns": 1, "max_ns": 1, "negative": 0},
        {"counts": [[0, -1]], "sum_ns": 1, "max_ns": 1, "negative": 0},
        {"counts": [[5, 1], [0.5, 1]], "sum_ns": 1, "max_ns": 1, "negative": 0},
        {"counts": [[5, True]], "sum_ns": 1, "max_ns": 1, "negative": 0},
        {"counts": [[5, 1, 1]], "sum_ns": 1, "max_ns": 1, "negative": 0},
        {"counts": 5, "sum_ns": 1, "max_ns": 1, "negative": 0},
        {"counts": [[5, 1]], "sum_ns": 2**64, "max_ns": 1, "negative": 0},
        {"counts": [[5, 1]], "sum_ns": 1, "max_ns": "1", "negative": 0},
    ],
)
def test_a_bad_report_changes_nothing(report: dict[str, object]) -> None:
    histogram = filled([100])
    with pytest.raises(PeerError, match="not a report"):
        histogram.merge_report(report)
    assert state(histogram) == state(filled([100]))


def test_clear_empties() -> None:
    histogram = filled([100, 200])
    histogram.record(-1)
    histogram.clear()
    assert state(histogram) == state(Histogram())
