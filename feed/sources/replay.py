"""The source of recordings: DBN files of any version, raw or zstd, merged by time, at their own speed or another.

Records pass through unchanged; only when they come is ours. The symbol of a record is what its file says the instrument
was called then (:mod:`feed.normalize.dbn_symbols`). A record's ts_in is the time it was due; at speed ``max`` nothing
is ever due, and ts_in is when it came. What tickcast has no schema for is skipped and counted as
``unsupported_rtype_N``, ``unknown_rtype`` or ``wrong_length``. A file that breaks off or breaks its format delivers all
whole records before that place, then ends; the others go on, and ``errors`` says what happened at which byte.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from feed.clock import now_ns
from feed.errors import ConfigError, LogSpace, SourceError
from feed.normalize.dbn import REFUSED, DbnStream
from feed.normalize.merge import Merge, Want
from feed.sources.dbn_file import DbnFile
from feed.sources.pacing import Rate, pause_ns, sleep_until_due
from feed.sources.source import Tally
from feed.wire.records import BY_ID, BY_WORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.config import ReplayConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters

__all__ = ["Replay"]

_ERRANDS_PER_POLL = 256
"""Buffers filled, topics named, mappings heard: bounds a poll where ticks are few among much else."""


class Replay:
    """Plays ``config.files``, merged by time (ts_recv, else ts_event), at equal times in the order given.

    With ``loop`` the files are played again and again, with their own times, until one of them turns out to be damaged
    or a pass brings no tick. `clock` gives wall time in ns.

    :raises ConfigError: a file is not there, or a schema is none.
    :raises SourceError: a file is no DBN file, of unknown version, or its header is damaged.
    """

    def __init__(
        self, name: str, config: ReplayConfig, sink: Sink, counters: Counters, *, clock: Callable[[], int] = now_ns
    ) -> None:
        self.name = name
        self.errors: list[SourceError] = []
        self._sink = sink
        self._clock = clock
        self._tally = Tally(counters, name)
        self._speed = config.factor
        self._loop = config.loop
        self._merge = Merge(self._speed, [BY_WORD[word].id for word in config.schemas or BY_WORD])
        self._files = [self._file(Path(path)) for path in config.files]
        self._streams: list[DbnStream] = []
        self._done = self._pass_done = 0
        self._rate = Rate(clock)
        self._begin(0)

    @property
    def error(self) -> SourceError | None:
        """The first of ``errors``."""
        return self.errors[0] if self.errors else None

    @property
    def unnamed(self) -> int:
        """Instruments that go by ``#`` and their number, because no file says what they are called."""
        return sum(len(file.symbols.unnamed) for file in self._files)

    @property
    def finished(self) -> bool:
        return self._merge.left == 0

    def poll(self, limit: int) -> int:
        now = self._clock()
        done = 0
        for _ in range(_ERRANDS_PER_POLL):
            done += self._merge.pour(self._sink, limit - done, now)
            match self._merge.want:
                case Want.BYTES:
                    self._read(self._merge.next)
                case Want.TOPIC:
                    self._name_topic(self._merge.next)
                case Want.MAPPING:
                    self._hear(self._merge.next)
                case Want.REPAIR:
                    self._end(self._merge.next, "a record has an impossible length")
                case _:
                    break
        if done:
            self._merge.flush(self._sink)
            self._done += done
            self._pass_done += done
            for schema_id, n in self._merge.take_ticks():
                self._tally.ticks(BY_ID[schema_id].word, n)
        for reason, n in self._merge.take_rejected():
            self._tally.rejected(reason, n)
        if not self._merge.left and self._loop and self._pass_done and not self.errors:
            self._begin(self._pause_ns())
        return done

    def due_ns(self) -> int:
        return self._merge.due_ns

    def park(self, timeout_ns: int) -> None:
        sleep_until_due(self._merge.due_ns, self._clock(), timeout_ns, full=self._merge.want == Want.ROOM)

    def read(self) -> tuple[int, int]:
        return sum(file.read_bytes for file in self._files), sum(file.file_bytes for file in self._files)

    def progress(self) -> str:
        rate = self._rate.look(self._done)
        read, size = self.read()
        text = f"{self._done:,} records, {100 * read / max(1, size):.1f} % of {size:,} bytes, {rate:,.0f}/s"
        return f"{text}, {self.unnamed} instruments without a name" if self.unnamed else text

    def close(self) -> None:
        for file in self._files:
            file.close()

    # --- errands of the merge ---------------------------------------------------------------------------------------

    def _read(self, i: int) -> None:
        file, stream = self._files[i], self._streams[i]
        try:
            if not file.is_open:
                file.open()
            n = file.readinto(stream.space())
        except SourceError as e:
            self._end(i, e)
            return
        if n:
            stream.filled(n)
        elif stream.left:
            self._end(i, "the file ends within a record")
        else:
            self._end(i, None)

    def _name_topic(self, i: int) -> None:
        instrument_id, schema_id, ts = self._streams[i].waiting
        symbol, from_ns, to_ns = self._files[i].symbols.at(instrument_id, ts)
        try:
            topic = self._sink.topic(BY_ID[schema_id].word, symbol)
        except LogSpace:
            topic = REFUSED
        self._streams[i].bind(instrument_id, schema_id, topic, from_ns, to_ns)

    def _hear(self, i: int) -> None:
        instrument_id, symbol_in, symbol_out = self._streams[i].mapping()
        self._files[i].symbols.tell(instrument_id, symbol_in, symbol_out)
        self._streams[i].forget(instrument_id)

    def _end(self, i: int, why: str | SourceError | None) -> None:
        file, stream = self._files[i], self._streams[i]
        if isinstance(why, str):
            at = file.header_bytes + stream.offset
            where = f"{file.path}, byte {at + (stream.left if self._merge.want == Want.BYTES else 0)}"
            why = SourceError(why, found=f"record at byte {at}", where=where)
        if why is not None:
            self.errors.append(why)
        self._merge.drop_next()
        stream.drop()
        file.close()

    # --- passes -----------------------------------------------------------------------------------------------------

    def _begin(self, pause_ns: int) -> None:
        self._pass_done = 0
        self._streams = [DbnStream(i, file.version, file.ts_out, file.first_ts) for i, file in enumerate(self._files)]
        for file in self._files:
            file.symbols.forget_told()
        self._merge.begin(self._streams, pause_ns)

    def _pause_ns(self) -> int:
        return pause_ns(self._merge.at_ns - min(file.first_ts for file in self._files), self._pass_done, self._speed)

    def _file(self, path: Path) -> DbnFile:
        if not path.is_file():
            raise ConfigError(
                "there is no such file", found=str(path), where=f"source.{self.name}.files", remedy="Name DBN files"
            )
        return DbnFile(path)
