"""What bots report about themselves, checked, summed up and put where the monitor finds it.

A report's ``ticks``, ``filled``, ``gaps``, ``lost``, ``pauses``, ``switches``, ``faults`` and latency buckets are what
was added since the bot's last report that was answered; the others are the present figures. Nothing in a report is
trusted: it comes from whoever can reach the control address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec

from feed.control.skew import Skew
from feed.errors import ControlError
from feed.metrics.histogram import BUCKETS, Histogram
from feed.metrics.table import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from feed.metrics.counters import Counter, Counters, Gauge

__all__ = ["BOTS_MAX", "SILENT_NS", "BotReport", "Bots", "parse_report", "sanitise"]

BOTS_MAX = 256
"""Bots that have figures here at once, as many as a metric has rows for."""

SILENT_NS = 60_000_000_000
"""A bot that said nothing for so long gives way when the table is full, ns."""

CAUSES_MAX = 8
SAMPLES_MAX = 64
NAME_MAX = 48

Label = TypeVar("Label", bound=str)

ONE_EACH = (
    "tickcast_bot_ticks_total",
    "tickcast_bot_filled_ticks_total",
    "tickcast_bot_lag_seconds",
    "tickcast_bot_report_timestamp_seconds",
)
SKEW, PORT = "tickcast_bot_skew_seconds", "tickcast_bot_metrics_port"

Count = Annotated[int, msgspec.Meta(ge=0, le=2**48)]
Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Time = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Text = Annotated[str, msgspec.Meta(max_length=256)]
Cause = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{0,31}\Z")]
LineOutcome = Annotated[str, msgspec.Meta(pattern=r"^[AB]\.(first|late|lost)\Z")]
ByCause = Annotated[dict[Cause, Count], msgspec.Meta(max_length=CAUSES_MAX)]
Bucket = Annotated[int, msgspec.Meta(ge=0, lt=BUCKETS)]


class Latency(msgspec.Struct, frozen=True):
    """What came into a log-linear histogram: pairs of bucket index and count."""

    counts: Annotated[list[tuple[Bucket, Count]], msgspec.Meta(max_length=BUCKETS)]
    sum_ns: Annotated[int, msgspec.Meta(ge=0, le=2**60)]  # a bot long behind at a million ticks/s adds 1e16 a second
    max_ns: Annotated[int, msgspec.Meta(ge=0, le=2**60)]
    negative: Count = 0


class BotReport(msgspec.Struct, frozen=True, kw_only=True):
    """One report. Fields that this version doesn't know are skipped, so that newer bots can report too."""

    name: Text
    pid: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    host: Text
    transport: Literal["shm", "tcp", "ipc", "epgm", "pgm", "mold"]
    ticks: Count = 0
    filled: Count = 0
    gaps: ByCause = {}
    lost: ByCause = {}
    lines: Annotated[dict[LineOutcome, Count], msgspec.Meta(max_length=6)] = {}
    lag_ns: Nanoseconds = 0
    lag_ticks: Count | None = None
    offset_ns: Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)] | None = None
    uncertainty_ns: Nanoseconds | None = None
    pauses: dict[Literal["gc", "gil"], Nanoseconds] = {}
    switches: dict[Literal["voluntary", "involuntary"], Count] = {}
    faults: dict[Literal["major", "minor"], Count] = {}
    metrics: Annotated[str, msgspec.Meta(pattern=r"^$|^[A-Za-z0-9_.:\[\]-]{1,64}:[0-9]{1,5}\Z")] = ""
    epoch: Time = 0
    samples: Annotated[list[tuple[Count, Time]], msgspec.Meta(max_length=SAMPLES_MAX)] = []
    latency: dict[Literal["wire", "total", "handler"], Latency] = {}


def parse_report(raw: object) -> BotReport:
    """A report out of decoded JSON, its name made fit for a label. Raises ControlError saying which field is wrong."""
    try:
        report = msgspec.convert(raw, BotReport)
    except msgspec.ValidationError as error:
        raise ControlError(f"not a bot's report: {error}") from None
    return msgspec.structs.replace(report, name=sanitise(report.name), host=sanitise(report.host))


def sanitise(name: str) -> str:
    """A label of letters, digits and ``_ . : -``, at most 48; empty becomes "bot"."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "_", name[:NAME_MAX]) or "bot"


@dataclass(slots=True)
class _Bot:
    """One bot's rows, and what it said last."""

    report: BotReport
    reported_ns: int
    ticks: Counter
    filled: Counter
    lag: Gauge
    reported: Gauge
    latency: Histogram
    met: bool = False
    """It has reported of the present epoch: what comes before that is of a feed that has ended."""
    counted: dict[str, dict[str, Counter]] = field(default_factory=dict)
    present: dict[str, Gauge] = field(default_factory=dict)


class Bots:
    """All bots that report, by name and transport; two bots of one name share their figures."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._bots: dict[tuple[str, str], _Bot] = {}
        self._stages: dict[tuple[str, str], Histogram] = {}
        self._skew = Skew(counters.histogram("tickcast_fanout_skew_seconds"))

    def __len__(self) -> int:
        return len(self._bots)

    def put(self, report: BotReport, now_ns: int, epoch: int) -> None:
        """Count a report in; `epoch`: the log's, 0 while there is none. Raises ControlError when there is no room for
        another bot.
        """
        bot = self._bot(report, now_ns)
        for metric, causes in (("tickcast_gaps_total", report.gaps), ("tickcast_lost_ticks_total", report.lost)):
            if len(bot.counted.get(metric, {}).keys() | causes.keys()) > CAUSES_MAX:
                raise ControlError(
                    "too many causes",
                    expected=f"at most {CAUSES_MAX}",
                    found=", ".join(sorted(causes)),
                    where=report.name,
                )
        bot.report, bot.reported_ns = report, now_ns
        bot.ticks.add(report.ticks)
        bot.filled.add(report.filled)
        bot.lag.set(report.lag_ns)
        bot.met = bot.met or report.epoch in {0, epoch}
        if bot.met:
            bot.reported.set(now_ns)
        self._add(bot, "tickcast_gaps_total", report.gaps)
        self._add(bot, "tickcast_lost_ticks_total", report.lost)
        for line, n in report.lines.items():
            name, _, outcome = line.partition(".")
            self._add(bot, f"tickcast_bot_line_{outcome}_total", {name: n})
        self._add(bot, "tickcast_bot_pause_seconds_total", report.pauses)
        self._add(bot, "tickcast_bot_context_switches_total", report.switches)
        self._add(bot, "tickcast_bot_page_faults_total", report.faults)
        if report.offset_ns is not None:
            self._set(bot, "tickcast_clock_offset_seconds", report.offset_ns)
        if report.uncertainty_ns is not None:
            self._set(bot, "tickcast_clock_uncertainty_seconds", report.uncertainty_ns)
        if report.metrics:
            host, _, port = report.metrics.rpartition(":")
            self._set(bot, PORT, int(port), host=host)
        self._compare(report, now_ns)
        for stage, added in report.latency.items():
            figures = msgspec.to_builtins(added)
            self._stage(stage, report.transport).merge_report(figures)
            if stage == "total":
                bot.latency.merge_report(figures)

    def answer(self) -> list[dict[str, Any]]:
        """Each bot's totals and present figures, for `bots lag`; quantiles of stage total in ns, None before any."""
        return [
            {
                "name": bot.report.name,
                "pid": bot.report.pid,
                "host": bot.report.host,
                "transport": bot.report.transport,
                "reported_ns": bot.reported_ns,
                "ticks": bot.ticks.value,
                "gaps": _values(bot, "tickcast_gaps_total"),
                "lost": _values(bot, "tickcast_lost_ticks_total"),
                "filled": bot.filled.value,
                "lag_ns": bot.report.lag_ns,
                "skew_ns": bot.present[SKEW].value if SKEW in bot.present else None,
                "lag_ticks": bot.report.lag_ticks,
                "latency_ns": _quantiles(bot.latency),
            }
            for bot in self._bots.values()
        ]

    def _bot(self, report: BotReport, now_ns: int) -> _Bot:
        key = (report.name, report.transport)
        bot = self._bots.get(key)
        if bot is None:
            if len(self._bots) >= BOTS_MAX:
                self._retire_silent(now_ns)
            counters, name = self._counters, report.name
            bot = self._bots[key] = _Bot(
                report=report,
                reported_ns=now_ns,
                ticks=counters.counter("tickcast_bot_ticks_total", bot=name),
                filled=counters.counter("tickcast_bot_filled_ticks_total", bot=name),
                lag=counters.gauge("tickcast_bot_lag_seconds", bot=name),
                reported=counters.gauge("tickcast_bot_report_timestamp_seconds", bot=name),
                latency=counters.histogram("tickcast_bot_latency_seconds", bot=name, transport=report.transport),
            )
        return bot

    def _retire_silent(self, now_ns: int) -> None:
        key, bot = min(self._bots.items(), key=lambda item: item[1].reported_ns)
        if now_ns - bot.reported_ns < SILENT_NS:
            raise ControlError(
                "no room for another bot's figures",
                expected=f"at most {BOTS_MAX} bots",
                found=f"{len(self._bots)} that reported in the last {SILENT_NS // 10**9} s",
                remedy="Start it with metrics_port= to serve its own",
            )
        del self._bots[key]
        name, transport = key
        retire = self._counters.retire
        retire("tickcast_bot_latency_seconds", bot=name, transport=transport)
        if any(other == name for other, _ in self._bots):
            return
        for metric in ONE_EACH:
            retire(metric, bot=name)
        for metric in bot.present:
            retire(metric, bot=name, **({"host": bot.report.metrics.rpartition(":")[0]} if metric == PORT else {}))
        for metric, rows in bot.counted.items():
            for value in rows:
                retire(metric, bot=name, **{BY_NAME[metric].labels[1]: value})

    def _compare(self, report: BotReport, now_ns: int) -> None:
        """How far apart bots had the same ticks."""
        late = self._skew.put(report.name, report.epoch, report.samples, report.uncertainty_ns or 0, now_ns)
        for bot in self._bots.values():
            if bot.report.name in late:
                self._set(bot, SKEW, late[bot.report.name])

    def _add(self, bot: _Bot, metric: str, added: Mapping[Label, int]) -> None:
        """Count by the metric's label beside `bot`."""
        rows = bot.counted.setdefault(metric, {})
        for value, n in added.items():
            if value not in rows:
                labels = {BY_NAME[metric].labels[1]: value}
                rows[value] = self._counters.counter(metric, bot=bot.report.name, **labels)
            rows[value].add(n)

    def _set(self, bot: _Bot, metric: str, value: int, **labels: str) -> None:
        if metric not in bot.present:
            bot.present[metric] = self._counters.gauge(metric, bot=bot.report.name, **labels)
        bot.present[metric].set(value)

    def _stage(self, stage: str, transport: str) -> Histogram:
        key = (stage, transport)
        if key not in self._stages:
            self._stages[key] = self._counters.histogram("tickcast_latency_seconds", stage=stage, transport=transport)
        return self._stages[key]


def _values(bot: _Bot, metric: str) -> dict[str, int]:
    return {value: counter.value for value, counter in bot.counted.get(metric, {}).items()}


def _quantiles(histogram: Histogram) -> dict[str, float] | None:
    if not histogram.count:
        return None
    p50, p90, p99, p999 = histogram.quantiles([0.5, 0.9, 0.99, 0.999])
    return {"p50": p50, "p90": p90, "p99": p99, "p999": p999, "max": float(histogram.max_ns)}
