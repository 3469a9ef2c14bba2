"""feed.metrics.table: the names keep Prometheus' conventions, the edges their bounds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.metrics.table import BY_NAME, EDGE_LIMIT, METRICS, Metric, edges_ns

UNITS = {"ns": "_seconds", "wall ns": "_timestamp_seconds", "bytes": "_bytes"}


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_say_kind_and_unit(metric: Metric) -> None:
    assert re.fullmatch(r"tickcast(_[a-z]+)+", metric.name)
    assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    if metric.unit in UNITS:
        assert metric.name.removesuffix("_total").endswith(UNITS[metric.unit])
        assert metric.divisor == (1 if metric.unit == "bytes" else 10**9)
    else:
        assert metric.divisor == 1
        assert not metric.name.endswith(tuple(UNITS.values()))
    assert metric.derived == (metric.writer == "exporter")


def test_the_design_names_are_there() -> None:
    names = """tickcast_ticks_total{source,schema} tickcast_rejected_total{source,reason}
    tickcast_latency_seconds{stage,transport} tickcast_bot_latency_seconds{bot,transport}
    tickcast_latency_target_seconds{quantile} tickcast_sent_total{publisher} tickcast_dropped_total{publisher,cause}
    tickcast_gaps_total{bot,cause} tickcast_lost_ticks_total{bot,cause} tickcast_bot_lag_seconds{bot}
    tickcast_fanout_skew_seconds{} tickcast_reader_lag_bytes{reader} tickcast_log_bytes{}
    tickcast_archive_durable_seq{} tickcast_agent_restarts_total{agent} tickcast_clock_offset_seconds{bot}"""
    have = {f"{metric.name}{{{','.join(metric.labels)}}}" for metric in METRICS}
    assert set(names.split()) <= have


@given(st.lists(st.integers(100, 10_000_000_000), max_size=EDGE_LIMIT - 2))
def test_edges_have_every_target_and_stay_few(targets: list[int]) -> None:
    edges = edges_ns(tuple(targets))
    assert set(targets) <= set(edges)
    assert list(edges) == sorted(set(edges))
    assert 20 <= len(edges) <= EDGE_LIMIT
    assert (edges[0], edges[-1]) == (100, 10_000_000_000)


def test_the_default_targets_have_edges() -> None:
    assert {13_400, 100_000} <= set(edges_ns((13_400, 100_000)))


def test_of_too_many_targets_the_smallest_have_edges() -> None:
    targets = tuple(range(1000, 60_000, 1000))
    assert len(edges_ns(targets)) == EDGE_LIMIT
    assert set(targets[: EDGE_LIMIT - 2]) <= set(edges_ns(targets))
