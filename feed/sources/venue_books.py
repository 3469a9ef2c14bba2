"""Base of sources of venues that send a book's snapshot when it is subscribed (feed.normalize.venue_books).

A book that is wrong is subscribed once more, it alone: at once, or, if that was necessary lately, after a pause that
doubles. One whose snapshot does not come within ``stale_after`` is wrong too.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from feed.clock import now_ns
from feed.errors import LogSpace
from feed.normalize.spot import SpotInstrument, size_decimals
from feed.normalize.venue import NO_TOPIC, REFUSED, SCHEMAS
from feed.sources.websocket import WebsocketSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feed.config import CryptoTable
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.normalize.venue_books import VenueBooks
    from feed.sources.connection import Connection, Request

__all__ = ["BookSource"]

log = logging.getLogger("tickcast.ingest")

PAUSE_NS_MAX: Final = 30_000_000_000
STEADY_NS: Final = 10_000_000_000
"""A book that was right for so long is asked for anew at once."""


class BookSource(WebsocketSource):
    """`books` is the venue's normaliser."""

    def __init__(
        self,
        name: str,
        config: CryptoTable,
        sink: Sink | None,
        counters: Counters,
        books: VenueBooks,
        publisher: int,
        *,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        super().__init__(name, config, counters, books, clock=clock)
        self._config = config
        self._sink = sink
        self._books = books
        self._publisher = publisher
        self._instruments: list[SpotInstrument] = []
        """By their index in the normaliser."""
        self._index: dict[str, int] = {}
        self._lines: dict[int, Connection] = {}
        """On which connection the book of this index comes, while that is up."""
        self._asked: dict[int, tuple[int, int]] = {}
        """When the book of this index was last asked for anew, and the pause before that, ns."""
        self._due: dict[int, int] = {}
        """When its snapshot is to be here at the latest, wall ns."""

    # --- the venue's part -------------------------------------------------------------------------------------------

    @abstractmethod
    def renewal(self, instrument: SpotInstrument) -> Sequence[Request]:
        """What asks for a book's snapshot on a connection that has the book already."""

    # --- for the venue to call --------------------------------------------------------------------------------------

    @property
    def wants_books(self) -> bool:
        return bool(self._config.wanted & {"quote", "book"})

    def instrument(
        self, symbol: str, names: tuple[str, str, str], tick: str, step: str, enough: Callable[[], Decimal]
    ) -> SpotInstrument | None:
        """`names` are the venue's for it, its base and its quote; `enough` is what sizes have to reach. None: it is
        none."""
        try:
            found = SpotInstrument(symbol, *names, Decimal(tick), Decimal(step), 0)
            if not (0 < found.tick < 10**9 and 0 < found.step < 10**9):
                return None
            decimals = self._config.size_decimals
            return found._replace(size_decimals=size_decimals(found.step, enough()) if decimals < 0 else decimals)
        except ArithmeticError:
            return None

    def add(self, made: SpotInstrument, received_ns: int, depth: int = 0) -> None:
        """One more symbol to listen to; `depth` as :meth:`VenueBooks.symbol`."""
        topics = [self._topic(word, made.symbol) for word in SCHEMAS]
        number = len(self._instruments) + 1
        index = self._books.symbol(made.venue_name, topics, number, made.size_decimals, depth)
        self._instruments.append(made)
        self._index[made.symbol] = index
        self.define(index, received_ns)

    def define(self, index: int, received_ns: int) -> None:
        """Put in the definition of this index."""
        self._instruments[index].define(self._books, index, self._publisher, self._config.VENUE, received_ns)

    def unknown(self, symbol: str) -> None:
        """The venue has no such symbol."""
        log.error("source %s: %s has no instrument %s", self.name, self._config.VENUE.capitalize(), symbol)
        self.rejected("unknown_symbol")

    def renew_wrong(self, received_ns: int) -> None:
        """To be called after each message: books that it found wrong are asked for anew."""
        for index, cause in self._books.take_wrong():
            self._again(index, cause, received_ns)

    # --- connections ------------------------------------------------------------------------------------------------

    def on_up(self, connection: Connection, received_ns: int) -> None:
        for symbol in connection.line.symbols:
            self._lines[self._index[symbol]] = connection
        if connection.line.symbols and self.wants_books:
            self._expect(connection.line.symbols, len(connection.line.requests) / self.SENDS_PER_S)

    def on_down(self, connection: Connection, received_ns: int) -> None:
        for symbol in connection.line.symbols:
            index = self._index[symbol]
            self._books.forget(index, received_ns)
            self._lines.pop(index, None)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _topic(self, schema: str, symbol: str) -> int:
        if schema not in self._config.wanted or self._sink is None:
            return NO_TOPIC
        try:
            return self._sink.topic(schema, f"{symbol}.{self._config.VENUE}")
        except LogSpace:
            return REFUSED

    def _again(self, index: int, cause: str, now: int) -> None:
        """The book of this symbol is wrong: get it anew."""
        self.resynced(cause)
        then, pause = self._asked.get(index, (0, 0))
        steady = now - then > STEADY_NS + pause
        pause = 0 if steady else min(PAUSE_NS_MAX, 2 * pause or self._config.reconnect_ns)
        self._asked[index] = (now, pause)
        connection = self._lines.get(index)
        if connection is not None:
            self._later(pause / 1e9, self._renew, connection, index)

    def _renew(self, connection: Connection, index: int) -> None:
        if self._lines.get(index) is connection and not self._books.is_live(index):
            self.say(connection, self.renewal(self._instruments[index]))
            self._expect((self._instruments[index].symbol,), 0.0)

    def _expect(self, symbols: Sequence[str], after_s: float) -> None:
        """If the books of these symbols are not there in time, ask for them anew."""
        seconds = after_s + self._stale_s
        for symbol in symbols:
            self._due[self._index[symbol]] = self._clock() + int(seconds * 1e9)
        self._later(seconds * 1.01, self._overdue, symbols)

    def _overdue(self, symbols: Sequence[str]) -> None:
        now = self._clock()
        for symbol in symbols:
            index = self._index[symbol]
            if now >= self._due[index] and index in self._lines and not self._books.is_live(index):
                self._again(index, "no_snapshot", now)

    def _later(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        if self._loop is not None:
            self._loop.call_later(seconds, self._guarded, call, *args)
