"""What bots report about themselves, checked, summed up and put where the monitor finds it.

A report's ``ticks``, ``gaps``, ``lost`` and latency buckets are what was added since the bot's last report that was
answered; ``lag_ns``, ``lag_ticks`` and ``offset_ns`` are the present figures. Nothing in a report is trusted: it comes
from whoever can reach the control address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from feed.errors import ControlError
from feed.metrics.histogram import BUCKETS, Histogram

if TYPE_CHECKING:
    from feed.metrics.counters import Counter, Counters, Gauge

__all__ = ["BOTS_MAX", "SILENT_NS", "BotReport", "Bots", "parse_report", "sanitise"]

BOTS_MAX = 256
"""Bots that have figures here at once, as many as a metric has rows for."""

SILENT_NS = 60_000_000_000
"""A bot that said nothing for so long gives way when the table is full, ns."""

CAUSES_MAX = 8
NAME_MAX = 48

Count = Annotated[int, msgspec.Meta(ge=0, le=2**48)]
Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Text = Annotated[str, msgspec.Meta(max_length=256)]
Cause = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{0,31}\Z")]
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
    gaps: ByCause = {}
    lost: ByCause = {}
    lag_ns: Nanoseconds = 0
    lag_ticks: Count | None = None
    offset_ns: Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)] | None = None
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
    lag: Gauge
    reported: Gauge
    latency: Histogram
    gaps: dict[str, Counter] = field(default_factory=dict)
    lost: dict[str, Counter] = field(default_factory=dict)
    offset: Gauge | None = None


class Bots:
    """All bots that report, by name and transport; two bots of one name share their figures."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._bots: dict[tuple[str, str], _Bot] = {}
        self._stages: dict[tuple[str, str], Histogram] = {}

    def __len__(self) -> int:
        return len(self._bots)

    def put(self, report: BotReport, now_ns: int) -> None:
        """Count a report in. Raises ControlError when there is no room for another bot."""
        bot = self._bot(report, now_ns)
        for rows, causes in ((bot.gaps, report.gaps), (bot.lost, report.lost)):
            if len(rows.keys() | causes.keys()) > CAUSES_MAX:
                raise ControlError(
                    "too many causes",
                    expected=f"at most {CAUSES_MAX}",
                    found=", ".join(sorted(causes)),
                    where=report.name,
                )
        bot.report, bot.reported_ns = report, now_ns
        bot.ticks.add(report.ticks)
        bot.lag.set(report.lag_ns)
        bot.reported.set(now_ns)
        self._add_causes("tickcast_gaps_total", report.name, bot.gaps, report.gaps)
        self._add_causes("tickcast_lost_ticks_total", report.name, bot.lost, report.lost)
        if report.offset_ns is not None:
            bot.offset = bot.offset or self._counters.gauge("tickcast_clock_offset_seconds", bot=report.name)
            bot.offset.set(report.offset_ns)
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
                "gaps": {cause: counter.value for cause, counter in bot.gaps.items()},
                "lost": {cause: counter.value for cause, counter in bot.lost.items()},
                "lag_ns": bot.report.lag_ns,
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
        for metric in ("tickcast_bot_ticks_total", "tickcast_bot_lag_seconds", "tickcast_bot_report_timestamp_seconds"):
            retire(metric, bot=name)
        retire("tickcast_clock_offset_seconds", bot=name)
        for metric, causes in (("tickcast_gaps_total", bot.gaps), ("tickcast_lost_ticks_total", bot.lost)):
            for cause in causes:
                retire(metric, bot=name, cause=cause)

    def _add_causes(self, metric: str, name: str, rows: dict[str, Counter], added: dict[str, int]) -> None:
        for cause, n in added.items():
            if cause not in rows:
                rows[cause] = self._counters.counter(metric, bot=name, cause=cause)
            rows[cause].add(n)

    def _stage(self, stage: str, transport: str) -> Histogram:
        key = (stage, transport)
        if key not in self._stages:
            self._stages[key] = self._counters.histogram("tickcast_latency_seconds", stage=stage, transport=transport)
        return self._stages[key]


def _quantiles(histogram: Histogram) -> dict[str, float] | None:
    if not histogram.count:
        return None
    p50, p90, p99, p999 = histogram.quantiles([0.5, 0.9, 0.99, 0.999])
    return {"p50": p50, "p90": p90, "p99": p99, "p999": p999, "max": float(histogram.max_ns)}
