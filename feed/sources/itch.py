"""The source of Nasdaq's TotalView-ITCH 5.0 files: days of one market, order by order, as quotes, trades and statuses.

Files hold messages with their length before them, or are captures of the network (pcap, pcapng) with MoldUDP64 in them
(itch_packets.py); plain or gzip; and are played in the order given; one of another day begins with empty books. The day
is what the name says (01302020.NASDAQ_ITCH50), else ``config.date``; its midnight in New York makes ts_event. A
message's ts_in is the time it was due; at speed ``max`` nothing is ever due, and ts_in is when it came. What cannot be
is counted by reason (:mod:`feed.normalize.itch`), as ``lost_framing`` where a stretch of a file is damaged,
``lost_messages`` where a capture lacks some. A file that breaks off gives all whole messages before that place, then
ends; the next goes on.
"""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import TYPE_CHECKING

from feed.clock import now_ns
from feed.errors import ConfigError, SourceError
from feed.normalize.itch_frames import Want
from feed.sources.itch_books import ItchBooks
from feed.sources.itch_file import ItchFile
from feed.sources.itch_packets import ItchPackets, is_capture
from feed.sources.pacing import PASS_NS, Rate, sleep_until_due
from feed.trading_day import date_of_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.config import ItchConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters

__all__ = ["ItchDays"]

_ERRANDS_PER_POLL = 256
"""Buffers filled: bounds a poll where ticks are few among much else."""


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
        self._clock = clock
        self._config = config
        self._books = ItchBooks(name, config, sink, counters, speed=config.factor)
        self._frames = self._books.frames
        self._files = [(self._file(Path(path)), self._day(Path(path))) for path in config.files]
        self._sizes = [path.stat().st_size for path, _ in self._files]
        self._packets = ItchPackets(self._books, config.groups)
        self._open: ItchFile | ItchPackets | None = None
        """What is read from; None: the file at hand is still to be opened."""
        self._at = -1
        self._ended = False
        self._today: datetime.date | None = None
        self._pass_done = 0
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
            done += self._books.pour(limit - done, now)
            if self._frames.want == Want.BYTES:
                self._read()
            elif self._frames.want != Want.NAME:
                break
        self._pass_done += done
        self._books.settle(done)
        if lost := self._frames.take_losses():
            self._books.tally.rejected("lost_framing", lost)
        return done

    def due_ns(self) -> int:
        return self._frames.due_ns

    def park(self, timeout_ns: int) -> None:
        sleep_until_due(self._frames.due_ns, self._clock(), timeout_ns, full=self._frames.want == Want.ROOM)

    def read(self) -> tuple[int, int]:
        here = 0 if self._open is None else self._open.read_bytes
        return sum(self._sizes[: self._at]) + here, sum(self._sizes)

    @property
    def messages(self) -> int:
        """How many were dealt with."""
        return self._frames.messages

    def progress(self) -> str:
        rate = self._rate.look(self._books.done)
        path = self._files[min(self._at, len(self._files) - 1)][0]
        share = 100.0 if self.finished else 0.0
        if self._open is not None:
            share = 100 * self._open.read_bytes / max(1, self._open.file_bytes)
        itch = self._books.itch
        return (
            f"{self._books.done:,} records of {self._frames.messages:,} messages, {share:.1f} % of {path}, "
            f"{rate:,.0f}/s, {itch.resting.orders:,} orders rest, {itch.memory_bytes >> 20:,} MiB"
        )

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    # --- errands of the frames --------------------------------------------------------------------------------------

    def _read(self) -> None:
        """More bytes of the file; at its end, the next one."""
        try:
            if self._open is None:
                self._open = self._opened()
            if isinstance(self._open, ItchPackets):
                if not self._open.more(last=self._is_last_of_day()):
                    self._end(None)
                return
            n = self._open.readinto(self._frames.space())
        except SourceError as error:
            self._end(error)
            return
        path = self._files[self._at][0]
        if n:
            self._frames.filled(n)
        elif self._frames.left and not self._ended:
            self._ended = True
            self._frames.finish()  # what is left may be understood now that nothing follows it
        elif self._frames.left:
            where = f"{path}, byte {self._frames.offset}"
            self._end(SourceError("the file ends within a message", found=f"{self._frames.left} bytes", where=where))
        else:
            self._end(None)

    def _end(self, why: SourceError | None) -> None:
        if why is not None:
            self.errors.append(why)
        self.close()
        self._open = None
        self._next_file()

    # --- files and passes -------------------------------------------------------------------------------------------

    def _opened(self) -> ItchFile | ItchPackets:
        path, day = self._files[self._at]
        if is_capture(path):
            self._packets.open(path, day)
            self._frames.begin(packets=True)
            return self._packets
        file = ItchFile(path)
        file.open()
        return file

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
            self._packets = ItchPackets(self._books, self._config.groups)
            self._begin(self._files[0][1])
        else:
            self.finished = True

    def _is_last_of_day(self) -> bool:
        return self._at + 1 == len(self._files) or self._files[self._at + 1][1] != self._files[self._at][1]

    def _begin(self, day: datetime.date) -> None:
        self._today = day
        self._books.begin(day)

    def _file(self, path: Path) -> Path:
        if not path.is_file():
            raise ConfigError(
                "there is no such file", found=str(path), where=f"source.{self.name}.files", remedy="Name ITCH files"
            )
        return path

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
