"""What the sources of Nasdaq's ITCH have in common: the books, whose stocks they name, and what they count."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import orjson

from feed.errors import LogSpace, SymbolError
from feed.normalize.itch import NO_TOPIC, REFUSED, SCHEMAS, Itch
from feed.normalize.itch_frames import ItchFrames, Want
from feed.sources.source import Tally
from feed.trading_day import midnight_ns
from feed.wire.records import BY_ID
from feed.wire.topics import Pattern, check_symbol

if TYPE_CHECKING:
    from feed.config import ItchConfig, ItchMoldConfig, ItchSoupConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.metrics.histogram import Histogram
    from feed.sources.capture import Capture

__all__ = ["ON_REQUEST", "ItchBooks", "trading_day"]

ON_REQUEST = ("book", "order")
"""Schemas that only come when ``schemas`` names them."""

_NAMES_PER_POUR = 256
"""Stocks named: bounds a poll where ticks are few."""

_NEW_YORK = ZoneInfo("America/New_York")


class ItchBooks:
    """``frames`` takes messages in, `pour` makes records of them.

    `speed`: how many times faster than recorded; `packets`: messages have numbers, and their lengths are sound
    (:class:`ItchFrames`); `venue` takes how old live ticks are when they come; `capture` keeps what is done.

    :raises SymbolError: one of ``config.symbols`` is no pattern.
    """

    def __init__(
        self,
        name: str,
        config: ItchConfig | ItchMoldConfig | ItchSoupConfig,
        sink: Sink,
        counters: Counters,
        *,
        speed: float = math.inf,
        packets: bool = False,
        venue: Histogram | None = None,
        capture: Capture | None = None,
    ) -> None:
        self.tally = Tally(counters, name)
        self.itch = Itch(config.market)
        self.frames = ItchFrames(self.itch, speed, packets=packets, venue=venue)
        self.done = 0
        """Records put in, ever."""
        self.received_ns = 0
        """When what is in the frames came, wall ns; 0: not known."""
        self._capture = capture
        self._sink = sink
        wanted = set(config.schemas) or set(SCHEMAS).difference(ON_REQUEST)
        self._schemas = [word if word in wanted else None for word in SCHEMAS]
        self._patterns = [Pattern(text) for text in config.symbols]
        self._stocks: dict[str, int] = {}

    def begin(self, day: datetime.date, *, snapshot: bool = False) -> None:
        """Nothing rests, no stock is known; with `snapshot` what comes first is one."""
        self.did("begin", day=day.isoformat(), snapshot=snapshot)
        self._stocks.clear()
        if snapshot:
            self.itch.begin_snapshot(midnight_ns(day))
        else:
            self.itch.begin(midnight_ns(day))

    def number(self, sequence: int) -> None:
        """The next message in the frames has this number."""
        self.did("number", n=sequence)
        self.frames.number(sequence)

    def skip(self, sequence: int) -> None:
        """All before this number that were not dealt with are lost, and every book may be wrong."""
        self.did("skip", n=sequence)
        self.frames.skip(sequence)

    def did(self, what: str, **more: int | str | bool) -> None:
        """Keep, beside what came in, a decision that was made on it, for :mod:`feed.sources.itch_heard`."""
        if self._capture is not None:
            self._capture.keep("did", orjson.dumps({"did": what, **more}), self.received_ns)

    def pour(self, limit: int, now_ns: int) -> int:
        """Put at most `limit` records in that are due at `now_ns`; ``frames.want`` then says why it was not more."""
        done = 0
        for _ in range(_NAMES_PER_POUR):
            done += self.frames.pour(self._sink, limit - done, now_ns, self.received_ns)
            if self.frames.want != Want.NAME:
                break
            self._name(*self.itch.waiting)
        return done

    def settle(self, done: int) -> None:
        """Once a poll: make the `done` records visible, and count."""
        if done:
            self.frames.flush(self._sink)
            self.done += done
            for schema_id, n in self.itch.take_ticks():
                self.tally.ticks(BY_ID[schema_id].word, n)
        for reason, n in self.itch.take_rejected():
            self.tally.rejected(reason, n)

    # --- stocks -----------------------------------------------------------------------------------------------------

    def _name(self, locate: int, stock: bytes) -> None:
        symbol = self._symbol(locate, stock)
        other = self._stocks.setdefault(symbol, locate)
        wanted = locate == 0 or not self._patterns or any(pattern.matches(symbol) for pattern in self._patterns)
        if not wanted or other != locate:  # two books in one topic would mix
            self.itch.leave_out(locate, stock)
            if other != locate:
                self.tally.rejected("wrong_symbol", 1)
            return
        self.itch.bind(locate, stock, [self._topic(word, symbol, locate) for word in self._schemas])

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


def trading_day(date: str, now_ns: int) -> datetime.date:
    """The day `date`; "" is that on which it is now in New York."""
    if date:
        return datetime.date.fromisoformat(date)
    return datetime.datetime.fromtimestamp(now_ns / 1e9, _NEW_YORK).date()
