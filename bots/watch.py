"""`bots watch`: a bot that remembers the last of each symbol, and how long its ticks took."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from bots.screen import Picture, Row
from feed.clock import now_ns
from feed.errors import ControlError
from feed.metrics.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bots.gap import Gap
    from bots.screen import Screen
    from bots.subscriber import Subscriber
    from bots.ticks import Bar, Bbo, Book, Quote, Tick, Trade

__all__ = ["Watch"]

DRAW_S = 0.25
RATE_S = 1.0
"""What ticks/s looks back on."""

ROWS_MAX = 1000
"""Symbols that are kept apart, a 15 KB histogram each; the others are only counted."""


class _Symbol:
    """A symbol's row, its latencies, and its count of a while ago."""

    __slots__ = ("before", "last_ns", "latency", "row")

    def __init__(self, symbol: str) -> None:
        self.row = Row(symbol)
        self.latency = Histogram()
        self.last_ns = 0
        self.before = 0


class Watch(logging.Handler):
    """Takes the ticks of `subscriber` and shows them on `screen`. As a log handler it shows what was said last."""

    def __init__(self, subscriber: Subscriber, screen: Screen, feed: str) -> None:
        super().__init__()
        self._subscriber = subscriber
        self._screen = screen
        self._picture = Picture(feed=feed)
        self._symbols: dict[str, _Symbol] = {}
        self._hidden: set[str] = set()
        self._rated_at = 0.0
        subscriber.on_gap = self._take_gap
        subscriber.on_stale = lambda _: self._turn("stale")
        subscriber.on_live = lambda: self._turn("live")

    def emit(self, record: logging.LogRecord) -> None:
        self._picture.said = self.format(record)

    def run(self, seconds: float | None) -> None:
        """Until `subscriber.stop()`, or for so long. Waits for the feed, and says so."""
        end = math.inf if seconds is None else time.monotonic() + seconds
        if not self._open(end):
            return
        recv = self._subscriber.recv
        until = 0.0
        while until < end and not self._stopped():
            self._show()
            until = min(time.monotonic() + DRAW_S, end)
            while (rest := until - time.monotonic()) > 0:
                tick = recv(rest)
                if tick is not None:
                    self._take(tick)
                elif self._stopped():
                    break
        self._show()

    def _open(self, end: float) -> bool:
        """A picture now and then while there is no feed; false if there was none."""
        while not self._stopped():
            self._show()
            self._subscriber.timeout = min(DRAW_S, max(0.0, end - time.monotonic()))
            try:
                self._subscriber.open()
            except ControlError:
                if time.monotonic() >= end:
                    return False
                continue
            return True
        return False

    def _stopped(self) -> bool:
        return self._subscriber.delivery.stopped

    def _take(self, tick: Tick) -> None:
        found = self._symbols.get(tick.symbol)
        if found is None:
            found = self._symbol(tick.symbol)
            if found is None:
                return
        row = found.row
        row.ticks += 1
        found.last_ns = tick.ts_bot
        found.latency.record(tick.ts_bot - tick.ts_in)
        _TAKE.get(tick.schema, _count_only)(row, tick)

    def _symbol(self, symbol: str) -> _Symbol | None:
        """A new symbol's place; None when there are too many."""
        found = self._symbols.get(symbol)
        if found is None:
            if len(self._symbols) == ROWS_MAX:
                self._hidden.add(symbol)
                return None
            found = self._symbols[symbol] = _Symbol(symbol)
        return found

    def _take_gap(self, gap: Gap) -> None:
        found = self._symbol(gap.symbol) if gap.count else None  # a new epoch is said in words
        if found is not None:
            found.row.gaps += 1
            found.row.lost += gap.count

    def _turn(self, state: str) -> None:
        self._picture.state = state

    def _show(self) -> None:
        now = now_ns()
        self._rate()
        for one in self._symbols.values():
            row = one.row
            row.age_ns = max(0, now - one.last_ns) if one.last_ns else None
            if one.latency.count:
                row.p50_ns, row.p99_ns = one.latency.quantiles([0.5, 0.99])
        self._picture.rows = [one.row for one in self._symbols.values()]
        self._picture.hidden = len(self._hidden)
        self._picture.transport = self._subscriber.transport
        self._screen.show(self._picture)

    def _rate(self) -> None:
        elapsed = time.monotonic() - self._rated_at
        if elapsed < RATE_S:
            return
        for one in self._symbols.values():
            one.row.ticks_per_s = (one.row.ticks - one.before) / elapsed if self._rated_at else 0.0
            one.before = one.row.ticks
        self._rated_at = time.monotonic()


def _price(price: float) -> float | None:
    return None if math.isnan(price) else price


def _both_sides(row: Row, tick: Quote | Bbo | Book) -> None:
    row.bid_px, row.bid_sz = _price(tick.bid_px), tick.bid_sz
    row.ask_px, row.ask_sz = _price(tick.ask_px), tick.ask_sz


def _trade(row: Row, tick: Trade) -> None:
    row.last_px, row.last_sz = _price(tick.price), tick.size


def _bar(row: Row, tick: Bar) -> None:
    row.last_px, row.last_sz = _price(tick.close), tick.volume


def _count_only(row: Row, tick: Tick) -> None:
    """Nothing of it has a column."""


_TAKE: Mapping[str, Callable[[Row, Any], None]] = {
    "trade": _trade,
    **dict.fromkeys(("quote", "bbo", "book"), _both_sides),
    **dict.fromkeys(("bar1s", "bar1m", "bar1h", "bar1d"), _bar),
}
