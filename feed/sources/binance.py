"""The source of Binance: spot, USD-M or coin-M futures, over combined streams (feed.normalize.binance).

First exchangeInfo says what there is; then each connection asks for the streams of its symbols: bookTicker for quotes,
trade, and depth for books, the latter with a snapshot over REST, which is asked for once the venue has confirmed the
stream. A symbol whose updates leave a gap, and it alone, gets another one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson

from feed.clock import now_ns
from feed.errors import LogSpace, SourceError
from feed.normalize.binance import ANSWER, DEPTH, NEEDS_SNAPSHOT, PUBLISHERS, Binance
from feed.normalize.binance_instruments import instruments
from feed.normalize.venue import NO_TOPIC, REFUSED, SCHEMAS
from feed.sources.connection import Line, Request
from feed.sources.websocket import WebsocketSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from feed.config import BinanceConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.normalize.binance_instruments import BinanceInstrument
    from feed.sources.connection import Connection

__all__ = ["BinanceSource"]

log = logging.getLogger("tickcast.ingest")

STREAMS_PER_REQUEST: Final = 100
AGAIN_S: Final = 0.2
"""Until the next question after a snapshot that was older than the stream."""

_REST: Final = {"spot": "/api/v3", "usdm": "/fapi/v1", "coinm": "/dapi/v1"}
_STREAMS: Final = {
    "spot": {"quote": "bookTicker", "trade": "trade", "book": "depth@100ms"},
    "usdm": {"quote": "bookTicker", "trade": "trade", "book": "depth@0ms"},
    "coinm": {"quote": "bookTicker", "trade": "trade", "book": "depth@0ms"},
}
_ASKS_PER_S: Final = {"spot": 5.0, "usdm": 1.5, "coinm": 1.5}
"""Snapshots of 1,000 levels: 50 of spot's 6,000 a minute, 20 of futures' 2,400, and room for others of this address."""


class BinanceSource(WebsocketSource):
    """Listens to ``config.symbols`` of ``config.market``; `clock` is wall ns."""

    SENDS_PER_S: ClassVar[float] = 4.0
    """Five a second are allowed, pings among them."""
    CONNECTS_PER_S: ClassVar[float] = 0.8
    """300 in five minutes."""

    def __init__(
        self,
        name: str,
        config: BinanceConfig,
        sink: Sink | None,
        counters: Counters,
        *,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        venue = counters.histogram("tickcast_latency_seconds", stage="venue", transport=name)
        self._binance = Binance(sink, PUBLISHERS[config.market], venue)
        super().__init__(name, config, counters, self._binance, clock=clock)
        self._config = config
        self._sink = sink
        self._instruments: list[BinanceInstrument] = []
        """By their index in the normaliser."""
        self._index: dict[str, int] = {}
        self.asks_per_s = _ASKS_PER_S[config.market]

    # --- the way in -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.ask("instruments", f"{_REST[self._config.market]}/exchangeInfo", {})

    def on_answer(self, question: str, payload: bytes, received_ns: int) -> None:
        if question == "instruments":
            self._learn(payload, received_ns)
            return
        index = self._index[question.removeprefix("depth ")]
        if not self._binance.snapshot(index, payload, received_ns):
            self._ask_depth(index, AGAIN_S)

    def on_message(self, connection: Connection, payload: bytes, received_ns: int) -> None:
        found = self._binance.apply(payload, received_ns)
        if found == NEEDS_SNAPSHOT:
            if self._binance.cause:
                self.resynced(self._binance.cause)
            self._ask_depth(self._binance.index)
        elif found == ANSWER:
            self._answered(connection, payload)

    def on_down(self, connection: Connection, received_ns: int) -> None:
        for symbol in connection.line.symbols:
            self._binance.down(self._index[symbol], received_ns)
            self.unask(f"depth {symbol}")

    # --- instruments and lines --------------------------------------------------------------------------------------

    def _learn(self, payload: bytes, received_ns: int) -> None:
        """The answer to exchangeInfo: what there is, and so what to listen to."""
        config = self._config
        try:
            known = instruments(payload, config.symbols, config.market)
        except SourceError as error:
            log.error("source %s: %s", self.name, error)
            self.rejected("malformed")
            self.begin()
            return
        for symbol in config.symbols:
            if symbol not in known:
                log.error("source %s: Binance %s has no instrument %s", self.name, config.market, symbol)
                self.rejected("unknown_symbol")
                continue
            each = known[symbol]
            decimals = each.size_decimals if config.size_decimals < 0 else config.size_decimals
            number = len(self._instruments) + 1
            index = self._binance.add([self._topic(word, symbol) for word in SCHEMAS], number, decimals)
            self._binance.name(index, each.venue_name)
            self._instruments.append(each)
            self._index[symbol] = index
            if "definition" in config.wanted:
                definition = each.definition(config.market, number, decimals, received_ns)
                self._binance.record(index, "definition", definition, received_ns)
        self.connect(self._lines())

    def _topic(self, schema: str, symbol: str) -> int:
        if schema not in self._config.wanted or self._sink is None:
            return NO_TOPIC
        try:
            return self._sink.topic(schema, f"{symbol}.{self._config.VENUE}")
        except LogSpace:
            return REFUSED

    def _lines(self) -> Iterator[Line]:
        symbols = [each.symbol for each in self._instruments]
        streams = [kind for word, kind in _STREAMS[self._config.market].items() if word in self._config.wanted]
        most = self._config.per_connection
        for first in range(0, len(symbols) if streams else 0, most):
            part = symbols[first : first + most]
            names = [
                f"{self._instruments[self._index[symbol]].venue_name.lower()}@{kind}"
                for symbol in part
                for kind in streams
            ]
            yield Line(f"{self._config.websocket_url}/stream", tuple(part), tuple(_requests(names)))

    # --- answers and snapshots --------------------------------------------------------------------------------------

    def _ask_depth(self, index: int, after_s: float = 0.0) -> None:
        each = self._instruments[index]
        query = {"symbol": each.venue_name, "limit": str(DEPTH)}
        self.ask(f"depth {each.symbol}", f"{_REST[self._config.market]}/depth", query, after_s)

    def _answered(self, connection: Connection, payload: bytes) -> None:
        """What the venue says of our requests: {"result": null, "id": 1}, or an error."""
        try:
            answer: Any = orjson.loads(payload)
            key = str(answer["id"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            key, answer = "", {}
        if not self.answered(connection, key):
            self.rejected("malformed")
        elif "error" in answer or "code" in answer:
            log.error("source %s: subscription refused: %r", self.name, payload[:200])
            self.drop(connection, "refused")
        elif not connection.waits and "book" in self._config.wanted:
            for symbol in connection.line.symbols:
                if self._binance.is_waiting(index := self._index[symbol]):
                    self._ask_depth(index)


def _requests(streams: Sequence[str]) -> Iterator[Request]:
    for number, first in enumerate(range(0, len(streams), STREAMS_PER_REQUEST), 1):
        part = streams[first : first + STREAMS_PER_REQUEST]
        yield Request(str(number), {"method": "SUBSCRIBE", "params": list(part), "id": number})
