"""The first agent of the way: turns the sources and lets their ticks into the log.

One source is polled in the sequencer's own thread and appends straight to the log. Several have a thread and a ring
each, drained in the order of arrival, so that none can hold up another.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from feed.clock import monotonic_ns, now_ns
from feed.log.ring import Intake
from feed.normalize.best import BEST
from feed.sources.source import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feed.log.sink import Sink
    from feed.log.writer import LogWriter
    from feed.metrics.counters import Counters
    from feed.normalize.best import Best
    from feed.sources.source import Source

__all__ = ["Ingest"]

log = logging.getLogger("tickcast.ingest")

BATCH = 1024
"""At most so many ticks between two looks at anything else."""

SOURCE_PARK_NS = 50_000_000
WAIT_ARCHIVE_NS = 10_000_000_000
BEAT_NS = 50_000_000
"""How often the log says that the sequencer lives, ns: quiet sources and a dead feed are to look different."""


class Ingest:
    """An agent (feed.agent). `make` gives one source each, for the sink that it shall fill.

    `wait_bots`: hold all sources until so many bots have reported to control; 0 starts at once. `wait_archive`: until
    the archive turns, or 10 s. `best` stands in front of the writer and adds quotes across venues.
    """

    name = "ingest"

    def __init__(
        self,
        writer: LogWriter,
        make: Sequence[Callable[[Sink], Source]],
        counters: Counters,
        *,
        wait_bots: int = 0,
        wait_archive: bool = False,
        best: Best | None = None,
    ) -> None:
        self._writer = writer
        self._counters = counters
        self._wait_bots = wait_bots
        self._wait_archive = wait_archive
        self._began_ns = now_ns()
        self._beat_at_ns = 0
        self._stopping = threading.Event()
        self._failed: BaseException | None = None
        self._told: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._intake: Intake | None = None
        self._best = best
        self._best_told = 0
        if len(make) == 1:
            self.sources = [make[0](writer if best is None else best)]
            return
        self._intake = Intake(writer, best)
        if best is not None:
            best.intake = self._intake
        self.sources = [one(self._intake.ring()) for one in make]
        for source in self.sources:
            self._threads.append(threading.Thread(target=self._turn, args=(source,), name=source.name, daemon=True))

    @property
    def finished(self) -> bool:
        """No source will give anything more, and all that they gave is in the log; tells once how each ended."""
        for source in self.sources:
            if source.finished and source.name not in self._told:
                self._told.add(source.name)
                log.info("source %s has ended: %s", source.name, source.progress())
                if source.error is not None:
                    log.error("source %s: %s", source.name, source.error)
        return all(source.finished for source in self.sources) and not any(t.is_alive() for t in self._threads)

    def poll(self) -> int:
        if (now := monotonic_ns()) >= self._beat_at_ns:
            self._beat_at_ns = now + BEAT_NS
            self._writer.beat()
            self._tell_read()
        if self._best is not None and self._best.published != self._best_told:
            more = self._best.published - self._best_told
            self._counters.counter("tickcast_ticks_total", source=BEST, schema="quote").add(more)
            self._best_told += more
        if self._wait_archive and not self._archive_is_there():
            return 0
        if self._wait_bots and not self._bots_are_there():
            return 0
        if self._intake is None:
            source = self.sources[0]
            return 0 if self._stopping.is_set() or source.finished else source.poll(BATCH)
        for thread in self._threads:
            if thread.ident is None:
                thread.start()
        if self._failed is not None:
            raise self._failed
        return self._intake.poll(BATCH)

    def park(self, timeout_ns: int) -> None:
        if self._wait_archive or self._wait_bots or self.finished:
            self._stopping.wait(timeout_ns / 1e9)
        elif self._intake is None:
            self.sources[0].park(timeout_ns)
        else:
            self._intake.park(timeout_ns)

    def drain(self) -> bool:
        """Stops the sources; true once what they had given is in the log."""
        self._stopping.set()
        return not any(thread.is_alive() for thread in self._threads) and self.poll() == 0

    def close(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        for source in self.sources:
            source.close()
        self._writer.close()

    def _turn(self, source: Source) -> None:
        try:
            while not self._stopping.is_set() and not source.finished:
                if source.poll(BATCH) == 0 and not source.finished:
                    source.park(SOURCE_PARK_NS)
        except BaseException as error:
            error.add_note(f"in source {source.name}")
            self._failed = error

    def _tell_read(self) -> None:
        """How far sources of files are."""
        for source in self.sources:
            if isinstance(source, Reading):
                read, whole = source.read()
                if whole:
                    self._counters.gauge("tickcast_source_read_bytes", source=source.name).set(read)
                    self._counters.gauge("tickcast_source_file_bytes", source=source.name).set(whole)

    def _bots_are_there(self) -> bool:
        """Bots report when their subscriptions hold; figures of before this start do not count, and control leaves out
        reports of other epochs than the log's."""
        reports = (row for row in self._counters.rows() if row.name == "tickcast_bot_report_timestamp_seconds")
        if sum(row.value >= self._began_ns for row in reports) >= self._wait_bots:
            self._wait_bots = 0
        return self._wait_bots == 0

    def _archive_is_there(self) -> bool:
        """A source that is faster than the archive starts would have gone over the whole log by then."""
        beats = (row for row in self._counters.rows() if row.name == "tickcast_agent_heartbeat_timestamp_seconds")
        turns = any(row.labels["agent"] == "archive" and row.value >= self._began_ns for row in beats)
        if turns or now_ns() - self._began_ns > WAIT_ARCHIVE_NS:
            self._wait_archive = False
        return not self._wait_archive
