"""The source of archives: what a feed has archived, in that feed's own order, at its own speed or another.

Records, their flags and their topics come as they were; seq and topic_seq are numbered anew, and ts_in is the time at
which a record was due (at speed ``max``: when it came). What the archive does not have is counted as ``missing`` and
told at the end.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from feed.clock import now_ns
from feed.errors import LogSpace, SourceError, StoreError
from feed.position import Position
from feed.sources.pacing import Rate, pause_ns, sleep_until_due
from feed.sources.playback import REFUSED, Playback, Want
from feed.sources.source import Tally
from feed.store.excerpt import Excerpt, told
from feed.store.walk import LEFT_OUT
from feed.wire.records import BY_ID, BY_WORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.config import ArchiveReplayConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters

__all__ = ["ArchiveReplay"]

log = logging.getLogger("tickcast.ingest")

_ERRANDS_PER_POLL = 256
_TELL_NS = 5_000_000_000
"""How often a long replay says how far it is."""


class ArchiveReplay:
    """Plays ``config.path`` from ``config.from_`` to ``config.to``; with ``loop`` again and again. `clock`: wall ns.

    :raises CallerError: there is no such archive, epoch, place, pattern or schema.
    """

    def __init__(
        self,
        name: str,
        config: ArchiveReplayConfig,
        sink: Sink,
        counters: Counters,
        *,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self.name = name
        self.error: SourceError | None = None
        self.finished = False
        self._sink = sink
        self._clock = clock
        self._tally = Tally(counters, name)
        self._speed, self._loop = config.factor, config.loop
        where = f"source.{name}"
        self._excerpt = Excerpt(
            Path(config.path),
            first=Position.parse(config.from_, where=f"{where}.from"),
            last=Position.parse(config.to, where=f"{where}.to"),
            epoch=config.epoch,
            symbols=config.symbols,
            schemas=config.schemas,
        )
        bounds = (self._excerpt.first_seq, self._excerpt.last_seq, self._excerpt.from_ns, self._excerpt.to_ns)
        self._playback = Playback(*bounds, self._speed)
        self._epoch = 0
        self._done = self._pass_done = self._refused = self._missing = 0
        self._rate = Rate(clock)
        self._tell_ns = clock() + _TELL_NS

    def poll(self, limit: int) -> int:
        now = self._clock()
        done = 0
        for _ in range(_ERRANDS_PER_POLL):
            if self.finished:
                break
            n = self._playback.pour(self._sink, limit - done, now)
            done += n
            self._pass_done += n
            match self._playback.want:
                case Want.BLOCK:
                    self._read()
                case Want.TOPIC:
                    self._name_topic(self._playback.unknown)
                case _:
                    break
        if done:
            self._playback.flush(self._sink)
            self._done += done
            for schema_id, n in self._playback.take_ticks():
                self._tally.ticks(BY_ID[schema_id].word, n)
        if now >= self._tell_ns:
            self._tell_ns = now + _TELL_NS
            log.info("source %s: %s", self.name, self.progress())
        return done

    def due_ns(self) -> int:
        return self._playback.due_ns

    def park(self, timeout_ns: int) -> None:
        sleep_until_due(self._playback.due_ns, self._clock(), timeout_ns, full=self._playback.want == Want.ROOM)

    def progress(self) -> str:
        rate = self._rate.look(self._done)
        text = f"{self._done:,} records, {100 * self._excerpt.fraction:.1f} % of {self._excerpt.folder}, {rate:,.0f}/s"
        missing = told(self._excerpt.missing)
        return f"{text}; missing in the archive: {missing}" if missing else text

    def close(self) -> None:
        self._excerpt.close()

    # --- errands of the playback ------------------------------------------------------------------------------------

    def _read(self) -> None:
        """The next block; at the end, the next pass or none."""
        try:
            block = self._excerpt.read_block()
        except StoreError as error:
            self.error = SourceError(f"the archive cannot be read on: {error}", where=str(self._excerpt.folder))
            block = None
        self._count()
        if block is not None:
            if block.epoch != self._epoch:
                self._epoch = block.epoch
                self._playback.forget_topics()
            self._playback.begin(block)
        elif self._loop and self._pass_done and self.error is None:
            self._playback.again(self._pause_ns())
            self._excerpt.rewind()
            self._epoch = self._pass_done = self._missing = 0
        else:
            self.finished = True

    def _name_topic(self, topic_id: int) -> None:
        found = self._excerpt.wanted(topic_id)
        if found is None:
            self._playback.bind(topic_id, 0, LEFT_OUT)
            return
        schema, symbol = found
        try:
            topic = self._sink.topic(schema, symbol)
        except LogSpace:
            topic = REFUSED
        self._playback.bind(topic_id, BY_WORD[schema].id, topic)

    def _count(self) -> None:
        missing = sum(each.records for each in self._excerpt.missing)
        if missing > self._missing:
            self._tally.rejected("missing", missing - self._missing)
            self._missing = missing
        if self._playback.refused > self._refused:
            self._tally.rejected("topic_refused", self._playback.refused - self._refused)
            self._refused = self._playback.refused

    def _pause_ns(self) -> int:
        return pause_ns(self._playback.at_ns - self._playback.base_ns, self._pass_done, self._speed)
