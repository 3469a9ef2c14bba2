"""The source of Nasdaq's TotalView-ITCH 5.0 files: days of one market, order by order, as quotes, trades and statuses.

Files hold messages with their length before them, plain or gzip, and are played in the order given; one of another day
begins with empty books. The day is what the name says (01302020.NASDAQ_ITCH50), else ``config.date``; its midnight in
New York makes ts_event. A message's ts_in is the time it was due; at speed ``max`` nothing is ever due, and ts_in is
when it came. What cannot be is counted by reason (:mod:`feed.normalize.itch`), as ``lost_framing`` where a stretch of a
file is damaged. A file that breaks off gives all whole messages before that place, then ends; the next goes on.
"""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import TYPE_CHECKING

from feed.clock import now_ns
from feed.errors import ConfigError, LogSpace, SourceError, SymbolError
from feed.normalize.itch import NO_TOPIC, REFUSED, SCHEMAS, Itch
from feed.normalize.itch_frames import ItchFrames, Want
from feed.sources.itch_file import ItchFile
from feed.sources.pacing import PASS_NS, Rate, sleep_until_due
from feed.sources.source import Tally
from feed.trading_day import date_of_name, midnight_ns
from feed.wire.records import BY_ID
from feed.wire.topics import Pattern, check_symbol

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.config import ItchConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters

__all__ = ["ON_REQUEST", "ItchDays"]

ON_REQUEST = ("book", "order")
"""Schemas that only come when ``schemas`` names them."""

_ERRANDS_PER_POLL = 256
"""Buffers filled and stocks named: bounds a poll where ticks are few among much else."""


class ItchDays:
    """Plays ``config.files``; with ``loop`` again and again, until one is damaged or a pass brings no tick.

    `clock` gives wall time in ns.

    :raises ConfigError: a file is not there, nothing says of which day it is, or a symbol is no pattern.
    """

    def __init__(
        self, name: str, config: ItchConfig, sink: Sink, counters: Counters, *, clock: Callable[[], int] = now_ns
    ) -> None:
        self.name = name
        self.errors: list[SourceError] = []
        self.finished = False
        self._sink = sink
        self._clock = clock
        self._tally = Tally(counters, name)
        self._config = config
        wanted = set(config.schemas) or set(SCHEMAS).difference(ON_REQUEST)
        self._schemas = [word if word in wanted else None for word in SCHEMAS]
        self._patterns = [Pattern(text) for text in config.symbols]
        self._itch = Itch(config.market)
        self._frames = ItchFrames(self._itch, config.factor)
        self._files = [(self._file(Path(path)), self._day(Path(path))) for path in config.files]
        self._stocks: dict[str, int] = {}
        self._at = -1
        self._ended = False
        self._today: datetime.date | None = None
        self._done = self._pass_done = 0
        self._rate = Rate(clock)
        self._next_file()

    @property
    def error(self) -> SourceError | None:
        """The first of ``errors``."""
        return self.errors[0] if self.errors else None

    def poll(self, limit: int) -> int:
        now = self._clock()
        done = 0
        for _ in range(_ERRANDS_PER_POLL):
            if self.finished:
                break
            n = self._frames.pour(self._sink, limit - done, now)
            done += n
            self._pass_done += n
            match self._frames.want:
                case Want.BYTES:
                    self._read()
                case Want.NAME:
                    self._name(*self._itch.waiting)
                case _:
                    break
        if done:
            self._frames.flush(self._sink)
            self._done += done
            for schema_id, n in self._itch.take_ticks():
                self._tally.ticks(BY_ID[schema_id].word, n)
        for reason, n in self._itch.take_rejected():
            self._tally.rejected(reason, n)
        if lost := self._frames.take_losses():
            self._tally.rejected("lost_framing", lost)
        return done

    def due_ns(self) -> int:
        return self._frames.due_ns

    def park(self, timeout_ns: int) -> None:
        sleep_until_due(self._frames.due_ns, self._clock(), timeout_ns, full=self._frames.want == Want.ROOM)

    def progress(self) -> str:
        rate = self._rate.look(self._done)
        file = self._files[min(self._at, len(self._files) - 1)][0]
        share = 100 * file.read_bytes / max(1, file.file_bytes)
        return (
            f"{self._done:,} records of {self._frames.messages:,} messages, {share:.1f} % of {file.path}, "
            f"{rate:,.0f}/s, {self._itch.resting.orders:,} orders rest, {self._itch.memory_bytes >> 20:,} MiB"
        )

    def close(self) -> None:
        for file, _ in self._files:
            file.close()

    # --- errands of the frames --------------------------------------------------------------------------------------

    def _read(self) -> None:
        """More bytes of the file; at its end, the next one."""
        file = self._files[self._at][0]
        try:
            if not file.is_open:
                file.open()
            n = file.readinto(self._frames.space())
        except SourceError as error:
            self._end(error)
            return
        if n:
            self._frames.filled(n)
        elif self._frames.left and not self._ended:
            self._ended = True
            self._frames.finish()  # what is left may be understood now that nothing follows it
        elif self._frames.left:
            where = f"{file.path}, byte {self._frames.offset}"
            self._end(SourceError("the file ends within a message", found=f"{self._frames.left} bytes", where=where))
        else:
            self._end(None)

    def _name(self, locate: int, stock: bytes) -> None:
        symbol = self._symbol(locate, stock)
        other = self._stocks.setdefault(symbol, locate)
        wanted = locate == 0 or not self._patterns or any(pattern.matches(symbol) for pattern in self._patterns)
        if not wanted or other != locate:  # two books in one topic would mix
            self._itch.leave_out(locate, stock)
            if other != locate:
                self._tally.rejected("wrong_symbol", 1)
            return
        self._itch.bind(locate, stock, [self._topic(word, symbol, locate) for word in self._schemas])

    def _topic(self, word: str | None, symbol: str, locate: int) -> int:
        if word is None or (locate == 0 and word != "status"):
            return NO_TOPIC
        try:
            return self._sink.topic(word, symbol)
        except LogSpace:
            return REFUSED

    def _symbol(self, locate: int, stock: bytes) -> str:
        try:
            return check_symbol(stock.decode("latin-1").rstrip(" "))
        except SymbolError:
            return f"#{locate}"

    def _end(self, why: SourceError | None) -> None:
        if why is not None:
            self.errors.append(why)
        self._files[self._at][0].close()
        self._next_file()

    # --- files and passes -------------------------------------------------------------------------------------------

    def _next_file(self) -> None:
        self._at += 1
        self._ended = False
        if self._at < len(self._files):
            day = self._files[self._at][1]
            self._frames.begin()
            if day != self._today:
                self._begin(day)
        elif self._config.loop and self._pass_done and not self.errors:
            self._at = self._pass_done = 0
            self._frames.begin(0 if math.isinf(self._config.factor) else PASS_NS, again=True)
            self._begin(self._files[0][1])
        else:
            self.finished = True

    def _begin(self, day: datetime.date) -> None:
        self._today = day
        self._stocks.clear()
        self._itch.begin(midnight_ns(day))

    def _file(self, path: Path) -> ItchFile:
        if not path.is_file():
            raise ConfigError(
                "there is no such file", found=str(path), where=f"source.{self.name}.files", remedy="Name ITCH files"
            )
        return ItchFile(path)

    def _day(self, path: Path) -> datetime.date:
        day = date_of_name(path.name)
        if day is None and self._config.date:
            day = datetime.date.fromisoformat(self._config.date)
        if day is None:
            raise ConfigError(
                "nothing says of which day the file is",
                expected="a name such as 01302020.NASDAQ_ITCH50, or a date",
                found=path.name,
                where=f"source.{self.name}.date",
            )
        return day
