"""The shared memory's figures as Prometheus families: read at each scrape, nothing observed, nothing kept.

Names, help and units come from feed/metrics/table.py; a metric it marks `derived` is worked out here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as PrometheusFamily
from prometheus_client.registry import Collector

from feed.clock import now_ns
from feed.log.observer import log_figures
from feed.metrics.counters import Counters
from feed.metrics.table import METRICS, edges_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from feed.log.observer import LogFigures
    from feed.metrics.counters import Row
    from feed.metrics.table import Metric

    Derived = dict[str, list[tuple[tuple[str, ...], float]]]

__all__ = ["Exporter", "state_targets"]


def state_targets(counters: Counters, targets_ns: Mapping[float, int]) -> None:
    """Write the latency targets (quantile to ns) where the exporter and `feed stat` find them."""
    for quantile, target_ns in targets_ns.items():
        counters.gauge("tickcast_latency_target_seconds", quantile=f"{quantile:g}").set(target_ns)


class Exporter(Collector):
    """All metrics of the feed in `directory`. LogMissing if no feed has counters there."""

    def __init__(self, directory: Path, targets_ns: Iterable[int] = (), clock_ns: Callable[[], int] = now_ns) -> None:
        self._directory = directory
        self._counters = Counters.open(directory, writable=False)
        self._edges_ns = edges_ns(tuple(targets_ns))
        self._edge_names = [f"{edge / 1e9:g}" for edge in self._edges_ns] + ["+Inf"]
        self._clock_ns = clock_ns
        self._before: tuple[int, int, int] | None = None  # epoch, tail, when: the log at the last scrape

    def collect(self) -> Iterator[PrometheusFamily]:
        """Every family that has a sample, in the table's order."""
        rows: dict[str, list[Row]] = {}
        for row in self._counters.rows():
            rows.setdefault(row.name, []).append(row)
        derived = self._derived(rows, log_figures(self._directory))
        for metric in METRICS:
            family: PrometheusFamily
            if metric.kind == "histogram":
                family = self._histograms(metric, rows.get(metric.name, ()))
            else:
                values = ((tuple(row.labels.values()), row.value) for row in rows.get(metric.name, ()))
                family = _scalars(metric, derived.get(metric.name, ()) if metric.derived else values)
            if family.samples:
                yield family

    def close(self) -> None:
        self._counters.close()

    def _histograms(self, metric: Metric, rows: Iterable[Row]) -> HistogramMetricFamily:
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for row in rows:
            assert row.histogram is not None
            buckets = list(zip(self._edge_names, row.histogram.cumulative(self._edges_ns), strict=True))
            family.add_metric(list(row.labels.values()), buckets, row.histogram.sum_ns / metric.divisor)
        return family

    def _derived(self, rows: Mapping[str, list[Row]], log: LogFigures | None) -> Derived:
        found: Derived = {"tickcast_metrics_refused_total": [((), self._counters.refused)]}
        for of in ("tickcast_latency", "tickcast_bot_latency"):
            found[f"{of}_negative_total"] = [
                (tuple(row.labels.values()), row.histogram.negative)
                for row in rows.get(f"{of}_seconds", ())
                if row.histogram is not None
            ]
        if log is not None:
            found["tickcast_log_bytes"] = [((), log.log_bytes)]
            found["tickcast_log_ticks_total"] = [((), max(0, log.next_seq - 1))]
            found["tickcast_log_horizon_seconds"] = [((), self._horizon_ns(log))]
            if log.tail_ns:
                found["tickcast_log_commit_timestamp_seconds"] = [((), log.tail_ns)]
            lags: dict[str, int] = {}
            for reader in log.readers:
                # A series must be there once: readers without a name share one, which shows the slowest.
                name = reader.name or "unnamed"
                lags[name] = max(lags.get(name, 0), reader.lag_bytes)
            found["tickcast_reader_lag_bytes"] = [((name,), lag) for name, lag in lags.items()]
        return found

    def _horizon_ns(self, log: LogFigures) -> float:
        """At the rate since the last scrape (the first time: since the epoch began); inf if nothing was written."""
        now, before = self._clock_ns(), self._before
        self._before = (log.epoch, log.tail, now)
        tail, when = (before[1], before[2]) if before is not None and before[0] == log.epoch else (0, log.epoch)
        written = log.tail - tail
        return log.log_bytes * (now - when) / written if written > 0 else math.inf


def _scalars(
    metric: Metric, values: Iterable[tuple[tuple[str, ...], float]]
) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value / metric.divisor)
    return family
