"""The source of instruments: what files say of them, as `definition` records; again, what of it changes.

Files are TOML (config/venues.toml) or DBN with definitions, whose symbol mappings name them. A file is read again when
it has changed: what is new or says something else is published (security_update_action A, M), and what is gone (D). A
file that can't be read then is reported, and everything stays as it was.
"""

from __future__ import annotations

import logging
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from feed.clock import now_ns
from feed.config import duration_ns
from feed.errors import LogSpace, SourceError
from feed.normalize.dbn import PARTIAL, DbnStream
from feed.normalize.instruments import Instrument, Instruments, instrument_of, parse
from feed.sources.dbn_file import DbnFile
from feed.sources.pacing import sleep_full, sleep_until_due
from feed.sources.pushed import NEEDS_TOPICS, Pushed
from feed.sources.source import Tally
from feed.wire.pushing import body
from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from feed.config import SymbologyConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters

__all__ = ["Symbology", "read_instruments"]

log = logging.getLogger("tickcast.ingest")

_DEFINITION = BY_WORD["definition"]


class Symbology:
    """Publishes what ``config.files`` say. `clock`: wall ns.

    :raises SourceError: a file can't be read, or says what can't be.
    """

    error: SourceError | None = None

    def __init__(
        self, name: str, config: SymbologyConfig, sink: Sink, counters: Counters, *, clock: Callable[[], int] = now_ns
    ) -> None:
        self.name = name
        self.finished = False
        self._paths = [Path(file) for file in config.files]
        self._every_ns = duration_ns(config.watch)
        self._sink = sink
        self._clock = clock
        self._tally = Tally(counters, name)
        self._pushed = Pushed(sink, counters.histogram("tickcast_latency_seconds", stage="venue", transport=name))
        self._seen = self._stamps()
        self._table = read_instruments(self._paths)
        self._waiting = deque((each, "A") for each in self._table)
        self._look_ns = clock() + self._every_ns
        self._done = 0

    def poll(self, limit: int) -> int:
        if self._every_ns and not self._waiting and self._clock() >= self._look_ns:
            self._look()
        done = 0
        while done < limit and (self._pushed.left or self._waiting):
            if not self._pushed.left and not self._begin(*self._waiting.popleft()):
                continue
            n = self._pushed.pour(1)
            if not n:
                break
            done += n
        if done:
            self._pushed.flush()
            self._done += done
            for _, n in self._pushed.take_ticks():
                self._tally.ticks("definition", n)
        self.finished = not self._every_ns and not self._waiting and not self._pushed.left
        return done

    def due_ns(self) -> int:
        return self._look_ns if self._every_ns else 0

    def park(self, timeout_ns: int) -> None:
        if self._pushed.left:
            sleep_full(self._clock(), timeout_ns)
        else:
            sleep_until_due(self._look_ns, self._clock(), timeout_ns, full=False)

    def progress(self) -> str:
        return f"{len(self._table):,} instruments of {len(self._paths)} files, {self._done:,} definitions"

    def close(self) -> None:
        """Nothing is open."""

    def _begin(self, instrument: Instrument, action: str) -> bool:
        """Make its record the one at hand; False: the log has no room for its topic."""
        now = self._clock()
        content = body([instrument.symbol.encode("ascii")], b"", instrument.record(now, action))
        if self._pushed.take(content, 0, 1, 0) == NEEDS_TOPICS:
            try:
                topic = self._sink.topic("definition", instrument.symbol)
            except LogSpace:
                self._tally.rejected("topic_refused", 1)
                return False
            self._pushed.bind(instrument.symbol.encode("ascii"), _DEFINITION.id, topic)
            self._pushed.take(content, 0, 1, 0)
        self._pushed.stamp(now)
        return True

    def _look(self) -> None:
        """Read files that have changed."""
        self._look_ns = self._clock() + self._every_ns
        stamps = self._stamps()
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            table = read_instruments(self._paths)
        except SourceError as error:
            log.error("source %s: %s", self.name, error)
            self._tally.rejected("bad_file", 1)
            return
        for each in table:
            known = self._table.get(each.symbol)
            if known != each:
                self._waiting.append((each, "A" if known is None else "M"))
        self._waiting.extend((each, "D") for each in self._table if table.get(each.symbol) is None)
        self._table = table

    def _stamps(self) -> list[tuple[int, int]]:
        """What shows that a file is another one."""
        stamps = []
        for path in self._paths:
            try:
                found = path.stat()
                stamps.append((found.st_mtime_ns, found.st_size))
            except OSError:
                stamps.append((0, 0))
        return stamps


def read_instruments(paths: Iterable[Path]) -> Instruments:
    """All instruments of these files; of two that have one symbol the last. Raises SourceError."""
    table = Instruments()
    for path in paths:
        if path.suffix == ".toml":
            try:
                found = parse(path.read_text(encoding="utf-8"), str(path))
            except (OSError, UnicodeDecodeError) as error:
                raise SourceError("the file cannot be read", found=str(error), where=str(path)) from None
        else:
            found = _of_recording(path)
        for each in found:
            table.add(each)
    return table


def _of_recording(path: Path) -> list[Instrument]:
    """The instruments of a DBN file, by what its mappings call them, else by the venue's symbol."""
    file = DbnFile(path)
    stream = DbnStream(0, file.version, file.ts_out)
    made: list[Instrument] = []
    try:
        file.open()
        while True:
            found = stream.next()
            if found.kind == PARTIAL:
                n = file.readinto(stream.space())
                if not n:
                    return made
                stream.filled(n)
            elif found.kind < PARTIAL:
                raise SourceError("the file breaks its format", where=f"{path}, byte {stream.offset}")
            elif found.record and found.schema_id == _DEFINITION.id:
                symbol, _, _ = file.symbols.at(found.instrument_id, found.ts)
                instrument = instrument_of(symbol, found.record)
                if symbol == f"#{found.instrument_id}" and instrument.name != symbol:
                    instrument = instrument_of(instrument.name, found.record)
                made.append(instrument)
    finally:
        file.close()
