"""The source of Kraken's spot markets, over its websockets, version 2 (feed.normalize.kraken).

A connection of its own says what there is to trade, and stays to tell of changes; then others, with some symbols each,
ask for their books and trades. A book whose checksum is wrong is unsubscribed and subscribed again, it alone: at once,
or, if that was necessary lately, after a pause that doubles.
"""

from __future__ import annotations

import itertools
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final

from feed.clock import now_ns
from feed.errors import LogSpace
from feed.normalize.kraken import MALFORMED, PUBLISHER, Kraken
from feed.normalize.kraken_messages import Answer, Instruments, Status
from feed.normalize.spot import SpotInstrument, size_decimals
from feed.normalize.venue import NO_TOPIC, REFUSED, SCHEMAS
from feed.sources.websocket import Line, Request, WebsocketSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from feed.config import KrakenConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.normalize.kraken_messages import Pair
    from feed.sources.websocket import Connection

__all__ = ["KrakenSource"]

log = logging.getLogger("tickcast.ingest")

ORDERS_ENOUGH: Final = 100_000
"""Sizes of records reach at least to so many of the venue's smallest orders, which are worth some dollars."""

PAUSE_NS_MAX: Final = 30_000_000_000
STEADY_NS: Final = 10_000_000_000
"""A book that was right for so long is asked for anew at once."""


class KrakenSource(WebsocketSource):
    """Listens to ``config.symbols``; `clock` is wall ns."""

    SENDS_PER_S: ClassVar[float] = 20.0
    CONNECTS_PER_S: ClassVar[float] = 0.2
    """150 in ten minutes are allowed."""

    def __init__(
        self,
        name: str,
        config: KrakenConfig,
        sink: Sink | None,
        counters: Counters,
        *,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        venue = counters.histogram("tickcast_latency_seconds", stage="venue", transport=name)
        self._kraken = Kraken(sink, PUBLISHER, venue)
        super().__init__(name, config, counters, self._kraken, clock=clock)
        self._config = config
        self._sink = sink
        self._instruments: list[SpotInstrument] = []
        """By their index in the normaliser."""
        self._index: dict[str, int] = {}
        self._lines: dict[int, Connection] = {}
        """On which connection the book of this index comes."""
        self._asked: dict[int, tuple[int, int]] = {}
        """When the book of this index was last asked for anew, and the pause before that, ns."""
        self._numbers = itertools.count(1)

    # --- the way in -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        asked = self._request("subscribe", "instrument")
        self.connect([Line(f"{self._config.websocket_url}/v2", (), (asked,))])

    def on_message(self, connection: Connection, payload: bytes, received_ns: int) -> None:
        said = self._kraken.apply(payload, received_ns)
        for index, cause in self._kraken.take_wrong():
            self._again(index, cause, received_ns)
        if said is None:
            return
        if said == MALFORMED:
            self.drop(connection, MALFORMED)
        elif isinstance(said, Answer):
            self._answered(connection, said)
        elif isinstance(said, Instruments):
            self._learn({pair.symbol: pair for pair in said.data.pairs}, received_ns)
        elif isinstance(said, Status):
            log.info("source %s: Kraken is %s", self.name, ", ".join(each.system for each in said.data))

    def on_up(self, connection: Connection, received_ns: int) -> None:
        for symbol in connection.line.symbols:
            self._lines[self._index[symbol]] = connection
        if connection.line.symbols and "book" in self._channels:
            self._expect(list(connection.line.symbols), len(connection.line.requests) / self.SENDS_PER_S)

    def on_down(self, connection: Connection, received_ns: int) -> None:
        for symbol in connection.line.symbols:
            index = self._index[symbol]
            self._kraken.forget(index, received_ns)
            self._lines.pop(index, None)

    # --- instruments and lines --------------------------------------------------------------------------------------

    @property
    def _channels(self) -> list[str]:
        wanted = self._config.wanted
        return ["book"] * bool(wanted & {"quote", "book"}) + ["trade"] * ("trade" in wanted)

    def _learn(self, pairs: dict[str, Pair], received_ns: int) -> None:
        """What there is: at first to know what to listen to, later because something of it has changed."""
        first = not self._instruments
        for symbol in self._config.symbols:
            pair = pairs.get(symbol.replace("-", "/"))
            if pair is None or (made := self._instrument(symbol, pair)) is None:
                if first:
                    log.error("source %s: Kraken has no instrument %s", self.name, symbol)
                    self.rejected("unknown_symbol")
                continue
            if not first and symbol in self._index:
                index = self._index[symbol]
                made = made._replace(size_decimals=self._instruments[index].size_decimals)
                if made == self._instruments[index]:
                    continue
                self._instruments[index] = made
            elif first:
                index = self._kraken.symbol(
                    made.venue_name,
                    [self._topic(word, symbol) for word in SCHEMAS],
                    len(self._instruments) + 1,
                    made.size_decimals,
                    self._config.depth,
                )
                self._instruments.append(made)
                self._index[symbol] = index
            else:
                continue
            made.define(self._kraken, index, PUBLISHER, self._config.VENUE, received_ns)
        if first:
            self.connect(self._data_lines())

    def _instrument(self, symbol: str, pair: Pair) -> SpotInstrument | None:
        try:
            tick, step, least = (
                Decimal(bytes(number).decode()) for number in (pair.price_increment, pair.qty_increment, pair.qty_min)
            )
        except (ArithmeticError, ValueError):
            return None
        if not (0 < tick < 10**9 and 0 < step < 10**9 and least.is_finite()):
            return None
        decimals = self._config.size_decimals
        if decimals < 0:
            decimals = size_decimals(step, least * ORDERS_ENOUGH)
        return SpotInstrument(symbol, pair.symbol, pair.base, pair.quote, tick, step, decimals)

    def _topic(self, schema: str, symbol: str) -> int:
        if schema not in self._config.wanted or self._sink is None:
            return NO_TOPIC
        try:
            return self._sink.topic(schema, f"{symbol}.{self._config.VENUE}")
        except LogSpace:
            return REFUSED

    def _data_lines(self) -> Iterator[Line]:
        symbols = [each.symbol for each in self._instruments]
        most = self._config.per_connection
        for first in range(0, len(symbols) if self._channels else 0, most):
            part = symbols[first : first + most]
            requests = [self._request("subscribe", channel, symbol) for channel in self._channels for symbol in part]
            yield Line(f"{self._config.websocket_url}/v2", tuple(part), tuple(requests))

    def _request(self, method: str, channel: str, symbol: str = "") -> Request:
        params: dict[str, Any] = {"channel": channel, "snapshot": True}
        if symbol:
            params["symbol"] = [self._instruments[self._index[symbol]].venue_name]
        if channel == "book":
            params["depth"] = self._config.depth
        if method == "unsubscribe":
            del params["snapshot"]
        number = next(self._numbers)
        return Request(str(number), {"method": method, "params": params, "req_id": number})

    # --- answers and books that are wrong ---------------------------------------------------------------------------

    def _answered(self, connection: Connection, answer: Answer) -> None:
        if answer.method == "pong":
            return
        if not self.answered(connection, str(answer.req_id)):
            self.rejected("malformed")
        elif not answer.success and answer.method == "subscribe" and answer.error != "Already subscribed":
            log.error("source %s: subscription of %s refused: %s", self.name, answer.symbol, answer.error)
            self.drop(connection, "refused")

    def _again(self, index: int, cause: str, now: int) -> None:
        """The book of this symbol is wrong: get it anew."""
        self.resynced(cause)
        then, pause = self._asked.get(index, (0, 0))
        steady = now - then > STEADY_NS + pause
        pause = 0 if steady else min(PAUSE_NS_MAX, 2 * pause or self._config.reconnect_ns)
        self._asked[index] = (now, pause)
        connection = self._lines.get(index)
        if connection is not None and self._loop is not None:
            self._loop.call_later(pause / 1e9, self._subscribe, connection, index)

    def _subscribe(self, connection: Connection, index: int) -> None:
        symbol = self._instruments[index].symbol
        if self._lines.get(index) is connection and not self._kraken.is_live(index):
            self.say(connection, [self._request(method, "book", symbol) for method in ("unsubscribe", "subscribe")])
            self._expect([symbol], 0.0)

    def _expect(self, symbols: list[str], after_s: float) -> None:
        """If the books of these symbols are not there in time, ask for them anew."""
        if self._loop is not None:
            self._loop.call_later(after_s + self._stale_s, self._overdue, symbols)

    def _overdue(self, symbols: list[str]) -> None:
        now = self._clock()
        for symbol in symbols:
            index = self._index[symbol]
            asked, pause = self._asked.get(index, (0, 0))
            waited = now - asked - pause > self._config.stale_ns * 9 // 10
            if waited and index in self._lines and not self._kraken.is_live(index):
                self._again(index, "no_snapshot", now)
