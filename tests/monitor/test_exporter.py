"""feed.monitor.exporter: what Prometheus' own parser reads back is what was counted."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from feed import __version__
from feed.clock import now_ns
from feed.log.reader import LogReader
from feed.metrics.table import BY_NAME, METRICS
from feed.monitor.exporter import SCRAPED_NS, Exporter, state_targets
from feed.monitor.hostclock import Timex
from feed.monitor.reading import Probe
from feed.monitor.windows import Windows
from tests.deploy.needs import needed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from tests.monitor.conftest import FakeFeed

TARGETS_NS = {0.5: 13_400, 0.99: 100_000}


@pytest.fixture
def scrape(fake_feed: FakeFeed) -> Iterator[Callable[[], dict[str, Metric]]]:
    probe = Probe(fake_feed.directory, fake_feed.directory / "archive", host_clock=lambda: Timex(True, 120, 10))
    windows = Windows(probe.read().histograms())
    exporter = Exporter(windows, TARGETS_NS)

    def scraped() -> dict[str, Metric]:
        reading = probe.read()
        windows.put(reading.steady_ns, reading.histograms())
        exporter.put(reading)
        families = {family.name: family for family in text_string_to_metric_families(exporter.text().decode())}
        strict = {family.name for family in parse_openmetrics(exporter.text(openmetrics=True).decode())}  # type: ignore[no-untyped-call]
        assert {name.removesuffix("_total") for name in families} == strict
        return families

    yield scraped
    probe.close()


def samples(family: Metric) -> dict[tuple[str, ...], float]:
    found = {
        (sample.name, *(sample.labels[name] for name in labels_of(family))): sample.value for sample in family.samples
    }
    assert len(found) == len(family.samples), "a series must be there once"
    return found


def test_counters_and_gauges_come_out_in_the_units_of_their_names(
    fake_feed: FakeFeed, scrape: Callable[[], dict[str, Metric]]
) -> None:
    fake_feed.tick(3)
    fake_feed.counters.gauge("tickcast_clock_offset_seconds", bot='far\\away "b"').set(-1_500)
    state_targets(fake_feed.counters, TARGETS_NS)
    found = scrape()
    assert samples(found["tickcast_ticks"]) == {("tickcast_ticks_total", "sim", "quote"): 3}
    assert samples(found["tickcast_clock_offset_seconds"]) == {
        ("tickcast_clock_offset_seconds", 'far\\away "b"'): -1.5e-6
    }
    assert samples(found["tickcast_latency_target_seconds"]) == {
        ("tickcast_latency_target_seconds", "0.5"): 1.34e-05,
        ("tickcast_latency_target_seconds", "0.99"): 1e-4,
    }
    assert found["tickcast_ticks"].type == "counter"
    assert found["tickcast_ticks"].documentation == BY_NAME["tickcast_ticks_total"].help


def test_histograms_are_cumulative_with_an_edge_at_every_target(
    fake_feed: FakeFeed, scrape: Callable[[], dict[str, Metric]]
) -> None:
    histogram = fake_feed.counters.histogram("tickcast_latency_seconds", stage="total", transport="shm")
    for ns in (50, 13_000, 14_000, 20_000_000_000, -5):
        histogram.record(ns)
    family = scrape()["tickcast_latency_seconds"]
    buckets = {s.labels["le"]: s.value for s in family.samples if s.name.endswith("_bucket")}
    assert len(buckets) <= 24
    assert (buckets["1e-07"], buckets["1.34e-05"], buckets["0.0001"], buckets["10"], buckets["+Inf"]) == (1, 2, 3, 3, 4)
    assert list(buckets.values()) == sorted(buckets.values())
    found = {s.name: s.value for s in family.samples if "le" not in s.labels}
    assert found["tickcast_latency_seconds_count"] == 4
    assert found["tickcast_latency_seconds_sum"] == pytest.approx((50 + 13_000 + 14_000 + 20_000_000_000) / 1e9)
    assert samples(scrape()["tickcast_latency_negative"]) == {("tickcast_latency_negative_total", "total", "shm"): 1}


def test_the_logs_figures(fake_feed: FakeFeed, scrape: Callable[[], dict[str, Metric]]) -> None:
    fake_feed.tick(10)
    with (
        LogReader.open(fake_feed.directory, name="archive", start="begin"),
        LogReader.open(fake_feed.directory, start="begin"),
        LogReader.open(fake_feed.directory),
    ):
        found = scrape()
    assert samples(found["tickcast_log_bytes"]) == {("tickcast_log_bytes",): 1 << 20}
    assert samples(found["tickcast_log_ticks"]) == {("tickcast_log_ticks_total",): 10}
    lag = fake_feed.writer.position
    assert samples(found["tickcast_reader_lag_bytes"]) == {
        ("tickcast_reader_lag_bytes", "archive"): lag,
        ("tickcast_reader_lag_bytes", "unnamed"): lag,
    }
    assert samples(found["tickcast_log_commit_timestamp_seconds"]).popitem()[1] > 1.6e9


def test_quantiles_of_each_window_in_which_there_was_something(
    fake_feed: FakeFeed, scrape: Callable[[], dict[str, Metric]]
) -> None:
    fake_feed.report("mean", 100, ns=90_000)
    fake_feed.counters.histogram("tickcast_latency_seconds", stage="total", transport="shm").record_n(20_000, 30)
    fake_feed.counters.histogram("tickcast_latency_seconds", stage="total", transport="tcp").record_n(8_000, 10)
    fake_feed.counters.histogram("tickcast_latency_seconds", stage="wire", transport="tcp")
    found = scrape()
    of_stages = samples(found["tickcast_latency_quantile_seconds"])
    name = "tickcast_latency_quantile_seconds"
    assert len(of_stages) == 2 * 3 * 5
    assert of_stages[name, "total", "shm", "10s", "0.5"] == pytest.approx(20e-6, rel=0.008)
    assert of_stages[name, "total", "tcp", "15m", "1"] == 8e-6
    of_bots = samples(found["tickcast_bot_latency_quantile_seconds"])
    assert len(of_bots) == 3 * 5
    assert of_bots["tickcast_bot_latency_quantile_seconds", "mean", "shm", "1m", "0.999"] == pytest.approx(90e-6)
    within = samples(found["tickcast_latency_within_target_ratio"])
    assert within["tickcast_latency_within_target_ratio", "0.5", "10s"] == 0.25
    assert within["tickcast_latency_within_target_ratio", "0.99", "15m"] == 1
    burn = samples(found["tickcast_latency_burn_ratio"])
    assert burn["tickcast_latency_burn_ratio", "0.5", "1m"] == 1.5
    assert found[name].type == "summary"


def test_of_no_ticks_there_are_no_quantiles(fake_feed: FakeFeed, scrape: Callable[[], dict[str, Metric]]) -> None:
    fake_feed.counters.histogram("tickcast_latency_seconds", stage="total", transport="shm")
    found = scrape()
    assert not {name for name in found if "quantile" in name or "ratio" in name}


def test_the_host_and_the_processes(fake_feed: FakeFeed, scrape: Callable[[], dict[str, Metric]]) -> None:
    fake_feed.tick()
    fake_feed.beat("control", pid=os.getpid())
    found = scrape()
    assert samples(found["tickcast_host_clock_error_seconds"]) == {("tickcast_host_clock_error_seconds",): 120e-6}
    assert samples(found["tickcast_host_clock_synchronised"]) == {("tickcast_host_clock_synchronised",): 1}
    assert samples(found["tickcast_build_info"]) == {("tickcast_build_info", __version__): 1}
    assert samples(found["tickcast_source_tick_timestamp_seconds"])[
        "tickcast_source_tick_timestamp_seconds", "sim"
    ] == pytest.approx(now_ns() / 1e9, abs=60)
    assert samples(found["tickcast_archive_free_bytes"]).keys() == {("tickcast_archive_free_bytes",)}
    assert samples(found["tickcast_agent_resident_bytes"])["tickcast_agent_resident_bytes", "control"] > 1 << 20
    kinds = [of[2] for of in samples(found["tickcast_agent_page_faults"]) if of[1] == "control"]
    assert kinds == ["major", "minor"]


def test_a_text_is_made_once_a_reading_and_ahead_while_somebody_scrapes(fake_feed: FakeFeed) -> None:
    probe = Probe(fake_feed.directory)
    windows = Windows()
    exporter = Exporter(windows, TARGETS_NS)
    assert exporter.text() == b""
    made: list[int] = []

    class Watched(Windows):
        def figures(self, *args: Any) -> Any:
            made.append(1)
            return super().figures(*args)

    exporter = Exporter(Watched(), TARGETS_NS)
    reading = probe.read()
    exporter.put(reading)
    assert not made
    first = exporter.text()
    once = len(made)
    assert exporter.text() is first
    assert exporter.text(openmetrics=True) != first
    assert len(made) == once
    exporter.put(dataclasses.replace(reading, steady_ns=reading.steady_ns + SCRAPED_NS - 1))
    assert len(made) == 2 * once
    exporter.text()
    assert len(made) == 2 * once
    exporter.put(dataclasses.replace(reading, steady_ns=reading.steady_ns + 3 * SCRAPED_NS))
    assert len(made) == 2 * once
    probe.close()


def test_promtool_finds_nothing_to_say(fake_feed: FakeFeed) -> None:
    probe = Probe(fake_feed.directory, fake_feed.directory)
    windows = Windows()
    exporter = Exporter(windows, TARGETS_NS)
    state_targets(fake_feed.counters, TARGETS_NS)
    fake_feed.beat("control", pid=os.getpid())
    everything(fake_feed)
    reading = probe.read()
    windows.put(reading.steady_ns, reading.histograms())
    exporter.put(reading)
    told = subprocess.run(
        [needed("promtool"), "check", "metrics"], input=exporter.text(), capture_output=True, check=False
    )
    assert (told.returncode, told.stdout + told.stderr) == (0, b"")
    probe.close()


def test_without_a_log_there_are_still_the_counters(
    fake_feed: FakeFeed, scrape: Callable[[], dict[str, Metric]]
) -> None:
    fake_feed.tick()
    (fake_feed.directory / "log").unlink()
    found = scrape()
    assert "tickcast_log_bytes" not in found
    assert "tickcast_ticks" in found


def test_every_metric_of_the_table_can_be_exported(
    fake_feed: FakeFeed, scrape: Callable[[], dict[str, Metric]]
) -> None:
    fake_feed.tick()
    fake_feed.beat("control", pid=os.getpid())
    everything(fake_feed)
    with LogReader.open(fake_feed.directory):
        found = scrape()
    names = {metric.name.removesuffix("_total") for metric in METRICS}
    assert set(found) == names
    assert all(set(s.labels) - {"le"} == set(labels_of(family)) for family in found.values() for s in family.samples)


def everything(fake_feed: FakeFeed) -> None:
    """A row of every metric that has rows; values in the histograms."""
    for metric in METRICS:
        if not metric.derived:
            labels = {label: "0.5" if label == "quantile" else "x" for label in metric.labels}
            row = getattr(fake_feed.counters, metric.kind)(metric.name, **labels)
            if metric.kind == "histogram":
                row.record(1_000)
    fake_feed.counters.histogram("tickcast_latency_seconds", stage="total", transport="x").record(1_000)


def labels_of(family: Metric) -> tuple[str, ...]:
    return (BY_NAME.get(family.name) or BY_NAME[f"{family.name}_total"]).labels


def test_refusals_are_exported(fake_feed: FakeFeed, scrape: Callable[[], dict[str, Metric]]) -> None:
    for i in range(BY_NAME["tickcast_bot_lag_seconds"].limit + 2):
        fake_feed.counters.gauge("tickcast_bot_lag_seconds", bot=f"bot{i}")
    found = scrape()
    assert samples(found["tickcast_metrics_refused"]) == {("tickcast_metrics_refused_total",): 2}
    assert len(found["tickcast_bot_lag_seconds"].samples) == BY_NAME["tickcast_bot_lag_seconds"].limit
