"""The agent that keeps the journal: it tails the log and appends to segments on disk.

Nothing that happens to the disk reaches the feed. A disk that is full or fails stops the archive, which says so once,
in a counter and in a gauge, and tries again after growing pauses; what the log no longer holds by then is recorded in
the archive as missing. A log that was replaced is read to its end, then the archive goes on with the new epoch.

Threads: the agent's own appends; with durability "interval" another makes it durable, so that a slow disk holds up no
reading; a third, of the lowest priority, compresses and removes sealed segments (upkeep.py).
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING

from feed.archive.syncer import Syncer
from feed.archive.upkeep import Durable, Keep, Upkeep
from feed.clock import monotonic_ns, now_ns
from feed.config import duration_ns, size_bytes
from feed.errors import ArchiveBusy, ConfigError, LogMissing, StoreError
from feed.log.observer import log_figures
from feed.log.reader import LogReader
from feed.roll import Roll
from feed.store.writer import StoreWriter

if TYPE_CHECKING:
    from pathlib import Path

    from feed.config import FeedConfig
    from feed.metrics.counters import Counters
    from feed.store.disk import Disk

__all__ = ["Archive"]

log = logging.getLogger("tickcast.archive")

BATCH = 1 << 16
"""Frames between two looks at anything else."""

PARK_NS = 5_000_000
"""Between two looks at an idle log: the writer need not wake us, as it wakes bots."""

REJOIN_NS = 100_000_000
LOOK_NS = 1_000_000_000
PAUSES_NS = tuple(int(s * 1e9) for s in (0.1, 0.2, 0.5, 1, 2, 5))
"""Before trying again after the first failure, the second, ..."""

TELL_NS = 5_000_000_000
"""Between two messages about missing records."""

BUSY_NS = 5_000_000_000
"""How long the archive of a feed that was killed may take to end before the folder counts as another's."""


class Archive:
    """The agent.

    :raises ArchiveBusy: another feed's archive writes in this one's folder.
    :raises ConfigError: the folder can't be one.
    :raises LogMissing: there is no log.
    :param disk: what changes files, for tests.
    """

    name = "archive"

    def __init__(
        self, config: FeedConfig, log_directory: Path, counters: Counters, *, disk: Disk | None = None
    ) -> None:
        folder = config.archive_directory
        assert folder is not None
        self.folder = folder
        settings = config.archive
        self._log_directory = log_directory
        self._disk = disk
        self._counters = counters
        self._durability = settings.durability
        self._interval_ns = duration_ns(settings.interval)
        self._segment_bytes = size_bytes(settings.segment)
        self._compressed = settings.compress
        self._keep = Keep(
            size_bytes(settings.keep_bytes) if settings.keep_bytes else 0,
            duration_ns(settings.keep_for) if settings.keep_for else 0,
        )
        self._roll = Roll.parse(config.feed.roll)
        self._roll_ns = self._roll.next_ns(now_ns()) if self._roll else 0
        self._durable = counters.gauge("tickcast_archive_durable_seq")
        self._stopped = counters.gauge("tickcast_archive_stopped")
        self._bytes = counters.gauge("tickcast_archive_bytes")
        self._stopped.set(0)
        self._asleep = threading.Event()  # nobody sets it: only its time-out counts, by a clock that never steps back
        self._failures = 0
        self._failed_ns = self._retry_ns = self._rejoin_ns = self._look_ns = 0
        self._draining = self._drained = self._closed = False
        self._missed: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._tell_ns = 0
        self._writer: StoreWriter | None = None
        self._reader: LogReader | None = None
        self._upkeep: Upkeep | None = None
        self._syncer: Syncer | None = None
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def poll(self) -> int:
        now = monotonic_ns()
        if self._closed or now < self._retry_ns:
            return 0
        try:
            return self._work(now)
        except StoreError as error:
            self._fail(error)
            return 0

    def park(self, timeout_ns: int) -> None:
        self._asleep.wait(min(timeout_ns, PARK_NS) / 1e9)

    def drain(self) -> bool:
        """True once all that the log holds is in the archive, or it can't be; poll() goes on until then."""
        if not self._draining:
            self._draining = True
            self._drained = False
            self._retry_ns = 0  # a last attempt
            return False
        return self._drained or self._failures > 0

    def close(self) -> None:
        """Make all durable, end the segment, and leave folder and log."""
        if self._closed:
            return
        self._closed = True
        if self._syncer is not None:
            self._syncer.close()
        if self._upkeep is not None:
            self._upkeep.close()
        if self._writer is not None:
            try:
                if self._drained:
                    self._writer.seal()
                self._durable.set(self._writer.sync())
                self._writer.close()
            except StoreError as error:
                self._fail(error)
        if self._reader is not None:
            self._reader.close()

    # --- work -------------------------------------------------------------------------------------------------------

    def _work(self, now: int) -> int:
        if self._syncer is not None and (error := self._syncer.take_error()):
            raise error
        if self._reader is None and not self._join(now):
            self._drained = True
            return 0
        writer, reader = self._begun()
        ended = reader.state != "open" or self._wiped(now, reader)
        taken = writer.take(reader, BATCH)
        if taken:
            if self._durability == "every":
                writer.sync()
            if self._failures:
                self._recovered(now)
        elif ended or reader.evicted:  # who has caught up may be waited for again
            reader.close()
            self._reader = None
        self._drained = not taken
        if self._roll is not None and (wall := now_ns()) >= self._roll_ns:
            if (sealed := writer.seal()) is not None:
                log.info("archive: the session rolls over; %s is sealed", sealed.name)
            self._roll_ns = self._roll.next_ns(wall)
        self._durable.set(writer.durable_seq)
        self._tell_missed(now, writer)
        return taken

    def _start(self) -> None:
        """Take the folder; a disk that is full must not keep the feed from starting, a folder that is none must."""
        if not self._join(monotonic_ns()):
            raise LogMissing("no feed has its log here", where=str(self._log_directory))
        deadline = monotonic_ns() + BUSY_NS
        while True:
            try:
                self._begun()
                return
            except ArchiveBusy:
                if monotonic_ns() > deadline:
                    raise
                self._asleep.wait(REJOIN_NS / 1e9)
            except StoreError as error:
                if not error.full and not os.access(self.folder, os.W_OK | os.X_OK):
                    raise ConfigError(
                        "the archive can't be written here",
                        expected="a folder that the feed's user may write",
                        found=str(error),
                        where="archive.path",
                    ) from None
                self._fail(error)
                return

    def _join(self, now: int) -> bool:
        """Open the log that there is now; false: there is none yet."""
        if now < self._rejoin_ns:
            return False
        self._rejoin_ns = now + REJOIN_NS
        try:
            self._reader = LogReader.open(self._log_directory, name=self.name, start="begin")
        except LogMissing:
            return False
        return True

    def _begun(self) -> tuple[StoreWriter, LogReader]:
        """The writer, in the epoch of the log."""
        assert self._reader is not None
        if self._writer is None:
            self._writer = StoreWriter(self.folder, segment_bytes=self._segment_bytes, disk=self._disk)
        reader, writer = self._reader, self._writer
        if writer.epoch != reader.epoch:
            with self._upkeep.resting if self._upkeep is not None else contextlib.nullcontext():
                writer.begin(reader.epoch, [(i, *reader.topic(i)) for i in range(reader.topic_count)])
            if writer.next_seq == 0 and reader.lost_last:
                writer.missing(1, reader.lost_last, "overrun")
            for cut in writer.cut:
                log.warning("archive: the last %d bytes of %s were no whole block: cut off", cut.bytes, cut.file.name)
            log.info("archive: epoch %d goes on at seq %d in %s", writer.epoch, writer.next_seq or 1, self.folder)
        if self._upkeep is None:
            self._upkeep = Upkeep(
                self.folder,
                lambda: Durable(writer.epoch, writer.durable_seq, writer.path),
                keep=self._keep,
                compressed=self._compressed,
                told=self._bytes.set,
                failed=self._count,
            )
        if self._syncer is None and self._durability == "interval":
            self._syncer = Syncer(writer, self._interval_ns)
        return writer, reader

    def _wiped(self, now: int, reader: LogReader) -> bool:
        """Is there another log by now, and nobody could tell the readers of this one? Looks once a second."""
        if now < self._look_ns:
            return False
        self._look_ns = now + LOOK_NS
        there = log_figures(self._log_directory)
        return there is not None and there.epoch != reader.epoch

    def _tell_missed(self, now: int, writer: StoreWriter) -> None:
        """Count what was recorded as missing since the last call, and say so every few seconds."""
        for cause, n in writer.missed.items():
            if new := n - self._missed.get(cause, 0):
                self._missed[cause] = n
                self._counters.counter("tickcast_archive_missing_total", cause=cause).add(new)
        if self._missed != self._told and now >= self._tell_ns:
            self._tell_ns = now + TELL_NS
            news = ", ".join(f"{n - self._told.get(cause, 0):,} ({cause})" for cause, n in self._missed.items())
            self._told = dict(self._missed)
            log.error("archive: records that it will never have: %s; it goes on at seq %d", news, writer.next_seq)

    # --- failure ----------------------------------------------------------------------------------------------------

    def _fail(self, error: StoreError) -> None:
        """Stop until the next attempt; say so the first time."""
        self._count(error)
        now = monotonic_ns()
        pause = PAUSES_NS[min(self._failures, len(PAUSES_NS) - 1)]
        self._retry_ns = now + pause
        if not self._failures:
            self._failed_ns = now
            self._stopped.set(1)
            log.error("archive stopped, the feed goes on: %s. Trying again until it works", error)
        self._failures += 1

    def _recovered(self, now: int) -> None:
        assert self._writer is not None
        self._failures = 0
        self._stopped.set(0)
        log.warning(
            "archive: works again after %.1f s, at seq %d", (now - self._failed_ns) / 1e9, self._writer.next_seq
        )

    def _count(self, error: Exception) -> None:
        cause = "full" if isinstance(error, StoreError) and error.full else "disk"
        self._counters.counter("tickcast_archive_errors_total", cause=cause).add(1)
