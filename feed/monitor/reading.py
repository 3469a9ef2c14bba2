"""One look at the whole feed: counters, log, processes, disks, clock. Everything the monitor shows comes from here."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feed.clock import monotonic_ns, now_ns
from feed.log.observer import log_figures
from feed.metrics.counters import Counters
from feed.monitor.health import agents
from feed.monitor.hostclock import timex
from feed.monitor.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from feed.log.observer import LogFigures
    from feed.metrics.counters import Row
    from feed.metrics.histogram import Histogram
    from feed.monitor.hostclock import Timex
    from feed.monitor.processes import ProcessFigures
    from feed.monitor.windows import Key

__all__ = ["Probe", "Reading"]

HORIZON_NS = 10_000_000_000
"""The rate by which the log's horizon is reckoned is that of so many ns."""

WINDOWED = frozenset({"tickcast_latency_seconds", "tickcast_bot_latency_seconds"})
"""The histograms that have quantiles over windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`at_ns` is wall time, `steady_ns` monotonic. What is None or missing could not be known."""

    at_ns: int
    steady_ns: int
    rows: list[Row]
    refused: int
    log: LogFigures | None
    horizon_ns: int | None
    """How long the log holds a tick at the present rate; None: nothing was written, or no log is there."""

    log_free_bytes: int | None
    archive_free_bytes: int | None
    agents: list[dict[str, Any]]
    """As feed.monitor.health.agents gives them."""

    processes: dict[str, ProcessFigures]
    """By agent; agents that are threads of one process all have that one's."""

    source_ns: dict[str, int]
    """When each source last put a tick in, wall ns, to the second (until one comes: the log's last commit). Definitions
    come seldom and are none here: a source that has nothing else is never late."""

    clock: Timex | None

    def histograms(self) -> dict[Key, Histogram]:
        """Those with windows, by metric name and label values."""
        return {
            (row.name, *row.labels.values()): row.histogram
            for row in self.rows
            if row.histogram is not None and row.name in WINDOWED
        }


class Probe:
    """Reads the feed in `directory`, whose archive, if it keeps one, is in `archive`. LogMissing: no counters there."""

    def __init__(
        self,
        directory: Path,
        archive: Path | None = None,
        *,
        clock_ns: Callable[[], int] = now_ns,
        steady_ns: Callable[[], int] = monotonic_ns,
        host_clock: Callable[[], Timex] = timex,
        proc: Path = Path("/proc"),
    ) -> None:
        self._directory, self._archive = directory, archive
        self._counters = Counters.open(directory, writable=False)
        self._clock_ns, self._steady_ns, self._host_clock = clock_ns, steady_ns, host_clock
        self._processes = Processes(proc)
        self._written: deque[tuple[int, int, int]] = deque()  # epoch, tail, when (steady)
        self._sources: dict[str, tuple[int, int]] = {}  # ticks, when it was last seen to have more

    def read(self) -> Reading:
        at_ns, steady_ns = self._clock_ns(), self._steady_ns()
        rows, log = list(self._counters.rows()), log_figures(self._directory)
        listed = agents(rows, at_ns)
        processes = self._processes.figures(agent["pid"] for agent in listed if agent["pid"])
        clock = None
        with contextlib.suppress(OSError):
            clock = self._host_clock()
        return Reading(
            at_ns=at_ns,
            steady_ns=steady_ns,
            rows=rows,
            refused=self._counters.refused,
            log=log,
            horizon_ns=self._horizon_ns(log, at_ns, steady_ns),
            log_free_bytes=_free_bytes(self._directory),
            archive_free_bytes=_free_bytes(self._archive) if self._archive is not None else None,
            agents=listed,
            processes={agent["agent"]: processes[agent["pid"]] for agent in listed if agent["pid"] in processes},
            source_ns=self._source_ns(rows, log, at_ns),
            clock=clock,
        )

    def close(self) -> None:
        self._counters.close()

    def _horizon_ns(self, log: LogFigures | None, at_ns: int, steady_ns: int) -> int | None:
        """At the first reading of an epoch: at the rate since it began."""
        if log is None:
            self._written.clear()
            return None
        if self._written and self._written[0][0] != log.epoch:
            self._written.clear()
        since_ns, tail = at_ns - log.epoch, 0
        if self._written:
            since_ns, tail = steady_ns - self._written[0][2], self._written[0][1]
        self._written.append((log.epoch, log.tail, steady_ns))
        while len(self._written) > 1 and self._written[1][2] <= steady_ns - HORIZON_NS:
            self._written.popleft()
        written = log.tail - tail
        return round(log.log_bytes * since_ns / written) if written > 0 and since_ns > 0 else None

    def _source_ns(self, rows: Iterable[Row], log: LogFigures | None, at_ns: int) -> dict[str, int]:
        ticks: dict[str, int] = {}
        for row in rows:
            if row.name == "tickcast_ticks_total" and row.labels["schema"] != "definition":
                ticks[row.labels["source"]] = ticks.get(row.labels["source"], 0) + row.value
        for source, n in ticks.items():
            if source not in self._sources:
                if n:
                    self._sources[source] = (n, log.tail_ns if log is not None and log.tail_ns else at_ns)
            elif self._sources[source][0] != n:
                self._sources[source] = (n, at_ns)
        return {source: when for source, (_, when) in self._sources.items() if source in ticks}


def _free_bytes(path: Path) -> int | None:
    """For us, on the file system that `path` is on, or will be."""
    for each in (path, *path.parents):
        try:
            vfs = os.statvfs(each)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return vfs.f_bavail * vfs.f_frsize
    return None
