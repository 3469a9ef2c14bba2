"""A crypto venue's source, turned by a test, on a tape: what it told, and which of it was not so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from feed.metrics.counters import Counters
from feed.wire.records import BY_WORD, UNDEF_PRICE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from tests.fakevenue.market import Market
    from tests.sources.tape import Taken, Tape

__all__ = ["BAD", "Turned", "all_is_here", "is_marked", "same_books", "shows"]

BAD = 4
State = tuple[tuple[tuple[int, int], ...], ...]


class Turned:
    """`make` makes the source from a name, sink and counters."""

    def __init__(self, tape: Tape, directory: Path, make: Callable[..., Any]) -> None:
        self.tape = tape
        self.counters = Counters.open(directory, create=True)
        self.source = make("venue", tape.sink, self.counters)
        self.taken: list[Taken] = []

    def turn(self, until: Callable[[], object], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {self.source.progress()}, {self.counted()}")
            if self.source.poll(1024) == 0:
                self.source.park(20_000_000)
            self.taken += self.tape.take()

    def turn_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.turn(lambda: time.monotonic() > end, seconds + 10)

    def of(self, schema: str, symbol: str) -> np.ndarray[Any, Any]:
        raw = [one.record for one in self.taken if one.schema == schema and one.symbol == symbol]
        return np.frombuffer(b"".join(raw), BY_WORD[schema].dtype)

    def counted(self) -> dict[str, int]:
        """Resyncs and refusals, by cause and reason."""
        found = {}
        for row in self.counters.rows():
            for name, label in (("tickcast_source_resyncs_total", "cause"), ("tickcast_rejected_total", "reason")):
                if row.name == name and row.value:
                    found[row.labels[label]] = int(row.value)
        return found

    def close(self) -> None:
        self.source.close()
        self.counters.close()


def state(levels: Any) -> State:
    """(price in 1e-9, size) of the bids and asks that there are."""
    bids = tuple((int(one["bid_px"]), int(one["bid_sz"])) for one in levels if one["bid_px"] != UNDEF_PRICE)
    asks = tuple((int(one["ask_px"]), int(one["ask_sz"])) for one in levels if one["ask_px"] != UNDEF_PRICE)
    return bids, asks


def told_states(market: Market, states: Collection[State]) -> set[State]:
    """A market's states as records tell them; sizes are in its own lots."""
    return {tuple(tuple((market.price_raw(price), size) for price, size in side) for side in each) for each in states}


def is_marked(turned: Turned, symbol: str) -> bool:
    """Has the last book or quote of a symbol a mark, or is there none yet?"""
    records = [turned.of(schema, symbol) for schema in ("book", "quote")]
    return any(not len(each) or each[-1]["flags"] & BAD for each in records)


def shows(turned: Turned, symbol: str, market: Market) -> bool:
    """Are the last book and quote of a symbol, without a mark, what its market has, which stands still?"""
    if is_marked(turned, symbol):
        return False
    book, quote = (turned.of(schema, symbol)[-1] for schema in ("book", "quote"))
    (now,) = told_states(market, [market.state()])
    return state(book["levels"]) == now and state([quote]) == tuple(side[:1] for side in now)


def all_is_here(turned: Turned, symbols: Mapping[str, Market]) -> bool:
    """Of markets that stand still: is the last book, quote and trade of each what it has, without a mark?"""

    def traded(symbol: str, market: Market) -> bool:
        trades = turned.of("trade", symbol)
        return not market.trades or (len(trades) > 0 and trades[-1]["sequence"] == market.trades)

    return all(shows(turned, *each) and traded(*each) for each in symbols.items())


def same_books(turned: Turned, symbols: Mapping[str, Market], past: Mapping[str, Collection[State]]) -> int:
    """Each book and quote without a mark is one that its market had, and the last is what it has; gives how many books
    were marked."""
    marked = 0
    for symbol, market in symbols.items():
        had = told_states(market, past[market.symbol])
        tops = {tuple(side[:1] for side in each) for each in had}
        books, quotes = turned.of("book", symbol), turned.of("quote", symbol)
        for records, allowed in ((books, had), (quotes, tops)):
            for one in records:
                if one["flags"] & BAD:
                    marked += 1
                else:
                    levels = one["levels"] if "levels" in (records.dtype.names or ()) else [one]
                    assert state(levels) in allowed, (symbol, one)
        (now,) = told_states(market, [market.state()])
        assert len(books)
        assert not books[-1]["flags"] & BAD, symbol
        assert state(books[-1]["levels"]) == now, symbol
        assert state([quotes[-1]]) == tuple(side[:1] for side in now), symbol
    return marked
