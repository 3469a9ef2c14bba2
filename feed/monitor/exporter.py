"""A reading as Prometheus text. Names, help, units and labels come from feed/metrics/table.py.

200 bots make some 12,000 lines. They are put together once a reading at most: while somebody scrapes, as soon as it is
taken, so that a scrape only copies bytes; else when the next one asks. The figures are then at most a second old. What
stands before a value is kept from one text to the next; prometheus_client's own rendering takes ten times as long.

Both formats (Prometheus text 0.0.4, OpenMetrics 1.0.0) have the same samples and differ in how a family is announced.
A gauge with the label `quantile` is announced as a summary, which is what Prometheus calls quantiles worked out here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from feed import __version__
from feed.metrics.table import METRICS, edges_ns
from feed.monitor.recent import SHOWN, budget, by_stage
from feed.monitor.windows import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from feed.metrics.counters import Counters, Row
    from feed.metrics.table import Metric
    from feed.monitor.reading import Reading
    from feed.monitor.windows import Key, Windows

    Samples = Iterable[tuple[tuple[str, ...], float]]
    """Label values and value, in the unit in memory."""

__all__ = ["SCRAPED_NS", "Exporter", "state_targets"]

SCRAPED_NS = 60_000_000_000
"""The text is made ahead for as long after a scrape, ns: Prometheus' default is one a minute."""

_WINDOWED: Final = {
    "tickcast_latency_quantile_seconds": "tickcast_latency_seconds",
    "tickcast_bot_latency_quantile_seconds": "tickcast_bot_latency_seconds",
}
"""Quantiles over windows, and the histograms that they are of."""

_QUANTILES: Final = (*(f"{quantile:g}" for quantile in QUANTILES), "1")


def state_targets(counters: Counters, targets_ns: Mapping[float, int]) -> None:
    """Write the latency targets (quantile to ns) where the exporter and `feed stat` find them."""
    for quantile, target_ns in targets_ns.items():
        counters.gauge("tickcast_latency_target_seconds", quantile=f"{quantile:g}").set(target_ns)


class Exporter:
    """All metrics of the last reading that was `put`, whose histograms are in `windows`."""

    def __init__(self, windows: Windows, targets_ns: Mapping[float, int]) -> None:
        self._windows = windows
        self._targets_ns = {f"{quantile:g}": ns for quantile, ns in targets_ns.items()}
        self._edges_ns = edges_ns(tuple(targets_ns.values()))
        self._reading: Reading | None = None
        self._asked_ns: dict[bool, int] = {}
        self._texts: dict[bool, bytes] = {}
        self._bodies: list[tuple[Metric, str]] | None = None
        self._kept: dict[str, dict[tuple[str, ...], str]] = {metric.name: {} for metric in METRICS}

    def put(self, reading: Reading) -> None:
        """The next scrape gets this one. Makes its text now if there was a scrape within the last minute."""
        self._reading, self._bodies = reading, None
        self._texts = {
            openmetrics: self._text(openmetrics)
            for openmetrics, asked_ns in self._asked_ns.items()
            if reading.steady_ns - asked_ns < SCRAPED_NS
        }

    def text(self, *, openmetrics: bool = False) -> bytes:
        """Every family that has a sample, in the table's order. Empty before the first reading."""
        if self._reading is None:
            return b""
        self._asked_ns[openmetrics] = self._reading.steady_ns
        if openmetrics not in self._texts:
            self._texts[openmetrics] = self._text(openmetrics)
        return self._texts[openmetrics]

    def _text(self, openmetrics: bool) -> bytes:
        assert self._reading is not None
        if self._bodies is None:
            self._bodies = list(self._families(self._reading))
        parts = [_announced(metric, openmetrics) + body for metric, body in self._bodies]
        return ("".join(parts) + ("# EOF\n" if openmetrics else "")).encode()

    def _families(self, reading: Reading) -> Iterator[tuple[Metric, str]]:
        rows: dict[str, list[Row]] = {}
        for row in reading.rows:
            rows.setdefault(row.name, []).append(row)
        derived = dict(self._derived(reading, rows))
        for metric in METRICS:
            if metric.name in _WINDOWED:
                of = rows.get(_WINDOWED[metric.name], ())
                body = self._quantiles(metric, [(row.name, *row.labels.values()) for row in of])
            elif metric.kind == "histogram":
                body = self._histograms(metric, rows.get(metric.name, ()))
            else:
                values: Samples = ((tuple(row.labels.values()), row.value) for row in rows.get(metric.name, ()))
                body = self._scalars(metric, derived.get(metric.name, ()) if metric.derived else values)
            if body:
                yield metric, body

    def _scalars(self, metric: Metric, samples: Samples) -> str:
        before, divisor = self._kept[metric.name], metric.divisor
        kept: dict[tuple[str, ...], str] = {}
        lines = []
        for labels, value in samples:
            prefix = kept[labels] = before.get(labels) or f"{metric.name}{_labelled(metric.labels, labels)} "
            lines.append(f"{prefix}{_number(value / divisor if divisor != 1 else value)}\n")
        self._kept[metric.name] = kept
        return "".join(lines)

    def _histograms(self, metric: Metric, rows: Iterable[Row]) -> str:
        before = self._kept[metric.name]
        kept: dict[tuple[str, ...], str] = {}
        texts = []
        for row in rows:
            assert row.histogram is not None
            labels = tuple(row.labels.values())
            shape = kept[labels] = before.get(labels) or self._buckets(metric, labels)
            counts = row.histogram.cumulative(self._edges_ns)
            texts.append(shape % (*counts, row.histogram.sum_ns / metric.divisor, counts[-1]))
        self._kept[metric.name] = kept
        return "".join(texts)

    def _buckets(self, metric: Metric, labels: tuple[str, ...]) -> str:
        """The lines of a histogram: its buckets, sum and count."""
        names = (*metric.labels, "le")
        edges = [*(f"{edge / 1e9:g}" for edge in self._edges_ns), "+Inf"]
        lines = [f"{metric.name}_bucket{_labelled(names, (*labels, edge))}" for edge in edges]
        return _shape(lines + [f"{metric.name}_{what}{_labelled(metric.labels, labels)}" for what in ("sum", "count")])

    def _quantiles(self, metric: Metric, keys: list[Key]) -> str:
        """Of each window in which there was something."""
        before = self._kept[metric.name]
        kept: dict[tuple[str, ...], str] = {}
        texts = []
        for window in SHOWN:
            for key, of in self._windows.figures(window, keys).items():
                if of.values_ns is None or of.max_ns is None:
                    continue
                labels = (*key[1:], window)
                shape = kept[labels] = before.get(labels) or _shape(
                    [f"{metric.name}{_labelled(metric.labels, (*labels, name))}" for name in _QUANTILES]
                )
                texts.append(shape % (*(ns / metric.divisor for ns in of.values_ns), of.max_ns / metric.divisor))
        self._kept[metric.name] = kept
        return "".join(texts)

    def _derived(self, reading: Reading, rows: Mapping[str, list[Row]]) -> Iterator[tuple[str, Samples]]:
        yield "tickcast_build_info", [((__version__,), 1)]
        yield "tickcast_metrics_refused_total", [((), reading.refused)]
        yield "tickcast_source_tick_timestamp_seconds", [((name,), ns) for name, ns in reading.source_ns.items()]
        for of in ("tickcast_latency", "tickcast_bot_latency"):
            negative = [
                (tuple(row.labels.values()), row.histogram.negative)
                for row in rows.get(f"{of}_seconds", ())
                if row.histogram is not None
            ]
            yield f"{of}_negative_total", negative
        shares, burns = budget(self._windows, by_stage(reading.rows).values(), self._targets_ns)
        for name, of_windows in (
            ("tickcast_latency_within_target_ratio", shares),
            ("tickcast_latency_burn_ratio", burns),
        ):
            ratios = [
                ((quantile, window), value)
                for window, of_quantiles in of_windows.items()
                for quantile, value in of_quantiles.items()
                if value is not None
            ]
            yield name, ratios
        yield from _log(reading)
        yield from _host(reading)
        yield from _processes(reading)


def _log(reading: Reading) -> Iterator[tuple[str, Samples]]:
    log = reading.log
    if reading.log_free_bytes is not None:
        yield "tickcast_log_free_bytes", [((), reading.log_free_bytes)]
    if reading.archive_free_bytes is not None:
        yield "tickcast_archive_free_bytes", [((), reading.archive_free_bytes)]
    if log is None:
        return
    yield "tickcast_log_bytes", [((), log.log_bytes)]
    yield "tickcast_log_ticks_total", [((), max(0, log.next_seq - 1))]
    yield "tickcast_log_horizon_seconds", [((), reading.horizon_ns if reading.horizon_ns is not None else _INF)]
    if log.tail_ns:
        yield "tickcast_log_commit_timestamp_seconds", [((), log.tail_ns)]
    lags: dict[str, int] = {}
    for reader in log.readers:
        # A series must be there once: readers without a name share one, which shows the slowest.
        name = reader.name or "unnamed"
        lags[name] = max(lags.get(name, 0), reader.lag_bytes)
    yield "tickcast_reader_lag_bytes", [((name,), lag) for name, lag in lags.items()]


def _host(reading: Reading) -> Iterator[tuple[str, Samples]]:
    if reading.clock is not None:
        yield "tickcast_host_clock_error_seconds", [((), reading.clock.maxerror_us * 1000)]
        yield "tickcast_host_clock_synchronised", [((), int(reading.clock.synchronized))]


def _processes(reading: Reading) -> Iterator[tuple[str, Samples]]:
    of = reading.processes
    yield "tickcast_agent_cpu_seconds_total", [((agent,), figures.cpu_ns) for agent, figures in of.items()]
    yield "tickcast_agent_resident_bytes", [((agent,), figures.resident_bytes) for agent, figures in of.items()]
    switches, faults = [], []
    for agent, figures in of.items():
        switches += [((agent, "voluntary"), figures.voluntary), ((agent, "involuntary"), figures.involuntary)]
        faults += [((agent, "major"), figures.major), ((agent, "minor"), figures.minor)]
    yield "tickcast_agent_context_switches_total", switches
    yield "tickcast_agent_page_faults_total", faults


_INF: Final = float("inf")


def _number(value: float) -> float | str:
    return "+Inf" if value == _INF else value


def _shape(series: list[str]) -> str:
    """Their lines, with %s in place of the values."""
    return "".join(f"{one.replace('%', '%%')} %s\n" for one in series)


def _announced(metric: Metric, openmetrics: bool) -> str:
    name = metric.name.removesuffix("_total") if openmetrics and metric.kind == "counter" else metric.name
    kind = "summary" if "quantile" in metric.labels else metric.kind
    text = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _labelled(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{','.join(pairs)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
