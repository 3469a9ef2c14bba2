"""The last 15 minutes, for the page: a sample a second, what happened, and everything as it is now, as JSON.

`Recent.put` takes a reading a second and is cheap; what only a page needs is worked out when one asks, once a reading.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson

from feed import __version__
from feed.metrics.table import STAGES
from feed.monitor import figures
from feed.monitor.events import Events
from feed.monitor.health import health
from feed.monitor.symbols import Symbols
from feed.monitor.windows import BUCKET_EDGES_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from feed.metrics.counters import Row
    from feed.monitor.reading import Reading
    from feed.monitor.windows import Figures, Key, Windows

__all__ = ["EVENTS", "EVERY_NS", "SAMPLES", "SHOWN", "Recent", "budget", "by_stage"]

SAMPLES, EVENTS = 900, 500
EVERY_NS = 1_000_000_000
RATE_NS = 5_000_000_000
"""A rate is the mean of so many ns: bots report once a second, so a shorter one would jump."""

SHOWN: Final = ("10s", "1m", "15m")
"""The windows that are shown and exported."""

BARS = 60
_STAGE = "tickcast_latency_seconds"
_BOT = "tickcast_bot_latency_seconds"
_SERIES = ("p50_ns", "p99_ns", "p999_ns", "max_ns", "count")
_VALUES = ("p50_ns", "p90_ns", "p99_ns", "p999_ns")


class _Sample(NamedTuple):
    at_ns: int
    ticks_per_s: float | None
    stages: dict[tuple[str, str], tuple[float | None, ...]]
    """Of this second alone: by stage and transport, in the order of _SERIES."""
    gaps: int
    """That bots have met in this second."""


class Recent:
    """What happened in the feed in `directory` since this began, at most 15 minutes of it."""

    def __init__(self, directory: Path, feed: str, windows: Windows, targets_ns: Mapping[float, int]) -> None:
        self._feed, self._windows = feed, windows
        self._targets_ns = {f"{quantile:g}": ns for quantile, ns in targets_ns.items()}
        self._symbols = Symbols(directory)
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES)
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self._changes = Events()
        self._rates = _Rates()
        self._reading: Reading | None = None
        self._parts: dict[str, Any] = {}
        self._now: bytes | None = None

    def put(self, reading: Reading) -> None:
        """Take the next reading, whose histograms are in the windows already."""
        before, self._reading, self._now = self._reading, reading, None
        gaps = {} if before is None else {bot["bot"]: bot["gaps"] for bot in self._parts["bots"]}
        self._symbols.put(reading.steady_ns)
        self._parts = self._present(before, reading)
        self._samples.append(
            _Sample(
                reading.at_ns,
                _ticks_per_s(before, reading),
                _of_this_second(self._windows, reading),
                0 if before is None else _met(gaps, self._parts["bots"]),
            )
        )
        watched = {**self._parts, "targets_ns": self._targets_ns}
        self._events += self._changes.put(reading.at_ns, reading.steady_ns, watched)

    def answer(self, since_ns: int = 0, symbols: str = "") -> bytes:
        """JSON: samples and events newer than `since_ns`, and the present; `symbols`: text that topics must have."""
        samples = [sample for sample in self._samples if sample.at_ns > since_ns]
        if self._now is None:
            self._now = orjson.dumps(self._shown())
        now = self._now[:-1] + b',"symbols":' + orjson.dumps(self._symbols.busiest(symbols)) + b"}"
        return orjson.dumps(
            {
                "feed": self._feed,
                "version": __version__,
                "at_ns": self._samples[-1].at_ns if self._samples else 0,
                "every_ns": EVERY_NS,
                "targets_ns": self._targets_ns,
                "times_ns": [sample.at_ns for sample in samples],
                "ticks_per_s": [sample.ticks_per_s for sample in samples],
                "stages": _columns(samples),
                "now": orjson.Fragment(now),
                "events": [event for event in self._events if event["at_ns"] > since_ns],
            }
        )

    def _present(self, before: Reading | None, reading: Reading) -> dict[str, Any]:
        """The parts of ``now`` that are wanted each second, for events too; bots without their latency."""
        rows, now_ns = reading.rows, reading.at_ns
        sources, publishers = figures.sources(rows), figures.publishers(rows)
        bots = figures.bots(rows, now_ns)
        counts = {("source", name): sum(one["ticks"].values()) for name, one in sources.items()}
        counts |= {("publisher", name): one["sent"] for name, one in publishers.items()}
        counts |= {("bot", name): one["ticks"] for name, one in bots.items()}
        self._rates.put(reading.steady_ns, counts)
        log, archive = figures.log(reading.log), figures.archive(rows)
        if log is not None:
            log |= {"horizon_ns": reading.horizon_ns, "free_bytes": reading.log_free_bytes}
        if archive is not None:
            archive["free_bytes"] = reading.archive_free_bytes
        return {
            "log": log,
            "archive": archive,
            "agents": [
                {**agent, "cpu": _cpu(agent, before, reading), "resident_bytes": _resident(agent["agent"], reading)}
                for agent in reading.agents
            ],
            "sources": [
                {
                    "source": name,
                    "per_s": self._rates.per_s(("source", name)),
                    "ticks": counts["source", name],
                    "rejected": one["rejected"],
                    "last_ns": reading.source_ns.get(name),
                }
                for name, one in sources.items()
            ],
            "publishers": [
                {"publisher": name, "per_s": self._rates.per_s(("publisher", name)), **one}
                for name, one in publishers.items()
            ],
            "bots": [{**one, "per_s": self._rates.per_s(("bot", name))} for name, one in bots.items()],
        }

    def _shown(self) -> dict[str, Any]:
        """``now`` but its symbols."""
        reading = self._reading
        if reading is None:
            return {}
        stages = by_stage(reading.rows)
        _, verdict = health(reading.rows, reading.log, reading.at_ns)
        within, burn = budget(self._windows, stages.values(), self._targets_ns)
        return {
            "windows": {name: _table(self._windows.figures(name, stages.values()), stages) for name in SHOWN},
            "within": within,
            "burn": burn,
            "histogram": self._histogram([key for (stage, _), key in stages.items() if stage == "total"]),
            "health": {"status": verdict["status"], "ills": verdict["ills"]},
            **self._parts,
            "bots": self._bots(reading),
            "gaps_15m": sum(sample.gaps for sample in self._samples),
            "readers": [reader._asdict() for reader in reading.log.readers] if reading.log is not None else [],
            "refused": reading.refused,
        }

    def _bots(self, reading: Reading) -> list[dict[str, Any]]:
        """With the quantiles of the last minute, of the transport by which most came."""
        keys = [(row.name, *row.labels.values()) for row in reading.rows if row.name == _BOT]
        best: dict[str, tuple[str, Figures]] = {}
        for (_, name, transport), of in self._windows.figures("1m", keys).items():
            if name not in best or of.n > best[name][1].n:
                best[name] = (transport, of)
        listed = []
        for bot in self._parts["bots"]:
            found = best.get(bot["bot"])
            by = found[0] if found is not None else None
            p50, _, p99, p999 = (found is not None and found[1].values_ns) or (None,) * 4
            shown = {key: value for key, value in bot.items() if key != "transports"}
            listed.append({**shown, "transport": by, "p50_ns": p50, "p99_ns": p99, "p999_ns": p999})
        return listed

    def _histogram(self, keys: list[Key]) -> dict[str, Any]:
        counts = self._windows.merged("1m", keys)
        edges, bars = _bars(counts)
        return {"stage": "total", "window": "1m", "edges_ns": edges, "counts": bars}


class _Rates:
    """Counts that grow, as rates over the last few seconds."""

    def __init__(self) -> None:
        self._past: deque[tuple[int, dict[tuple[str, str], int]]] = deque()

    def put(self, steady_ns: int, counts: dict[tuple[str, str], int]) -> None:
        self._past.append((steady_ns, counts))
        while len(self._past) > 1 and self._past[1][0] <= steady_ns - RATE_NS:
            self._past.popleft()

    def per_s(self, key: tuple[str, str]) -> float | None:
        """None where there is nothing to compare with: the first time, and after it began anew."""
        now_ns, now = self._past[-1]
        for was_ns, was in self._past:
            if was_ns < now_ns and key in was:
                return (now[key] - was[key]) * 1e9 / (now_ns - was_ns) if now[key] >= was[key] else None
        return None


def by_stage(rows: Iterable[Row]) -> dict[tuple[str, str], Key]:
    """{(stage, transport): its key in the windows}, in the order of the ticks' way."""
    order = list(STAGES)
    found = [(row.labels["stage"], row.labels["transport"]) for row in rows if row.name == _STAGE]
    found.sort(key=lambda one: (order.index(one[0]) if one[0] in order else len(order), one[1]))
    return {one: (_STAGE, *one) for one in found}


def budget(
    windows: Windows, stages: Iterable[Key], targets_ns: Mapping[str, int]
) -> tuple[dict[str, dict[str, float | None]], dict[str, dict[str, float | None]]]:
    """({window: {quantile: share of ticks whose stage total kept its target}}, {window: {quantile: burn}}).

    Burn is the share that missed by the share that may: at 1 the budget is used up exactly. None of no ticks.
    """
    total = [key for key in stages if key[1] == "total"]
    within = {
        name: {quantile: windows.within(name, total, ns) for quantile, ns in targets_ns.items()} for name in SHOWN
    }
    burn = {
        name: {
            quantile: (1 - share) / (1 - float(quantile)) if share is not None else None
            for quantile, share in shares.items()
        }
        for name, shares in within.items()
    }
    return within, burn


def _of_this_second(windows: Windows, reading: Reading) -> dict[tuple[str, str], tuple[float | None, ...]]:
    of = windows.figures("1s", by_stage(reading.rows).values())
    sample: dict[tuple[str, str], tuple[float | None, ...]] = {}
    for (_, stage, transport), one in of.items():
        p50, _, p99, p999 = one.values_ns or (None,) * 4
        sample[stage, transport] = (p50, p99, p999, one.max_ns, one.n)
    return sample


def _met(before: Mapping[str, Mapping[str, int]], bots: Iterable[Mapping[str, Any]]) -> int:
    """Gaps of `bots` that were not there `before`, by bot and cause; a count that fell began anew."""
    met = 0
    for bot in bots:
        was = before.get(bot["bot"], {})
        met += sum(n - was.get(cause, 0) if n >= was.get(cause, 0) else n for cause, n in bot["gaps"].items())
    return met


def _columns(samples: list[_Sample]) -> dict[str, dict[str, dict[str, list[float | None]]]]:
    """{stage: {transport: {series: a value for each sample}}}; None before a transport was there."""
    found: dict[str, dict[str, dict[str, list[float | None]]]] = {}
    blank = (None,) * len(_SERIES)
    for stage, transport in dict.fromkeys(one for sample in samples for one in sample.stages):
        columns = zip(*(sample.stages.get((stage, transport), blank) for sample in samples), strict=True)
        found.setdefault(stage, {})[transport] = dict(zip(_SERIES, map(list, columns), strict=True))
    return found


def _table(of: Mapping[Key, Figures], stages: Mapping[tuple[str, str], Key]) -> list[dict[str, Any]]:
    return [
        {
            "stage": stage,
            "transport": transport,
            "count": one.n,
            **dict(zip(_VALUES, one.values_ns or (None,) * len(_VALUES), strict=True)),
            "max_ns": one.max_ns,
            "negative": one.negative,
        }
        for (stage, transport), key in stages.items()
        if (one := of.get(key)) is not None
    ]


def _bars(counts: np.ndarray[Any, np.dtype[np.int64]]) -> tuple[list[float], list[int]]:
    """At most `BARS` bars, evenly wide on a logarithmic axis, from the lowest filled bucket to the highest; what an
    edge cuts through is shared out by width, and nothing is lost."""
    filled = np.flatnonzero(counts)
    if not len(filled):
        return [], []
    first, last = int(filled[0]), int(filled[-1])
    inner = BUCKET_EDGES_NS[first : last + 2].copy()
    inner[0] = max(inner[0], 0.5)  # zero has no place on a logarithmic axis
    edges = np.geomspace(inner[0], inner[-1], min(BARS, last - first + 1) + 1)
    edges[0], edges[-1] = inner[0], inner[-1]
    below = np.concatenate([[0], counts[first : last + 1].cumsum()])
    return edges.tolist(), np.diff(np.rint(np.interp(edges, inner, below)).astype(np.int64)).tolist()


def _ticks_per_s(before: Reading | None, reading: Reading) -> float | None:
    if before is None or before.log is None or reading.log is None or before.log.epoch != reading.log.epoch:
        return None
    return (reading.log.next_seq - before.log.next_seq) * 1e9 / max(1, reading.steady_ns - before.steady_ns)


def _cpu(agent: Mapping[str, Any], before: Reading | None, reading: Reading) -> float | None:
    """Share of a core since the reading before; None for a process that is new."""
    was = before.processes.get(agent["agent"]) if before is not None else None
    now = reading.processes.get(agent["agent"])
    if before is None or was is None or now is None or now.cpu_ns < was.cpu_ns:
        return None
    return (now.cpu_ns - was.cpu_ns) / max(1, reading.steady_ns - before.steady_ns)


def _resident(agent: str, reading: Reading) -> int | None:
    figures_ = reading.processes.get(agent)
    return figures_.resident_bytes if figures_ is not None else None
