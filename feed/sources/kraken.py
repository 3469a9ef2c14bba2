"""The source of Kraken's spot markets, over its websockets, version 2 (feed.normalize.kraken).

A connection of its own says what there is to trade, and stays to tell of changes; then others, with some symbols each,
ask for their books and trades. A book whose checksum is wrong is unsubscribed and subscribed again.
"""

from __future__ import annotations

import itertools
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final

from feed.clock import now_ns
from feed.normalize.kraken import PUBLISHER, Kraken
from feed.normalize.kraken_messages import Answer, Instruments, Status
from feed.normalize.venue_books import MALFORMED
from feed.sources.connection import Line, Request
from feed.sources.venue_books import BookSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from feed.config import KrakenConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.normalize.kraken_messages import Pair
    from feed.normalize.spot import SpotInstrument
    from feed.sources.connection import Connection

__all__ = ["KrakenSource"]

log = logging.getLogger("tickcast.ingest")

ORDERS_ENOUGH: Final = 100_000
"""Sizes of records reach at least to so many of the venue's smallest orders, which are worth some dollars."""


class KrakenSource(BookSource):
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
        super().__init__(name, config, sink, counters, self._kraken, PUBLISHER, clock=clock)
        self._depth = config.depth
        self._learned = False
        self._numbers = itertools.count(1)

    def begin(self) -> None:
        self.connect([Line(self._url, (), (self._request("subscribe", "instrument"),))])

    def on_message(self, connection: Connection, payload: bytes, received_ns: int) -> None:
        said = self._kraken.apply(payload, received_ns)
        self.renew_wrong(received_ns)
        if said is None:
            return
        if said == MALFORMED:
            self.drop(connection, MALFORMED)
        elif isinstance(said, Answer):
            self._answered(connection, said)
        elif isinstance(said, Instruments):
            self._learn(said, received_ns)
        elif isinstance(said, Status):
            log.info("source %s: Kraken is %s", self.name, ", ".join(each.system for each in said.data))

    def renewal(self, instrument: SpotInstrument) -> list[Request]:
        return [self._request(method, "book", instrument.venue_name) for method in ("unsubscribe", "subscribe")]

    # --- instruments and lines --------------------------------------------------------------------------------------

    def _learn(self, said: Instruments, received_ns: int) -> None:
        """What there is: at first to know what to listen to, later because something of it has changed."""
        pairs = {pair.symbol: pair for pair in said.data.pairs}
        first = not self._learned and said.type == "snapshot"
        self._learned = self._learned or first
        for symbol in self._config.symbols:
            pair = pairs.get(symbol.replace("-", "/"))
            made = None if pair is None else self._instrument(symbol, pair)
            if first and made is not None:
                self.add(made, received_ns, self._depth)
            elif first:
                self.unknown(symbol)
            elif made is not None and symbol in self._index:
                index = self._index[symbol]
                before = self._instruments[index]
                self._instruments[index] = made._replace(size_decimals=before.size_decimals)
                if self._instruments[index] != before:
                    self.define(index, received_ns)
        if first:
            self.connect(self._data_lines())

    def _instrument(self, symbol: str, pair: Pair) -> SpotInstrument | None:
        tick, step, least = (
            bytes(number).decode("latin-1") for number in (pair.price_increment, pair.qty_increment, pair.qty_min)
        )
        names = (pair.symbol, pair.base, pair.quote)
        return self.instrument(symbol, names, tick, step, lambda: Decimal(least) * ORDERS_ENOUGH)

    def _data_lines(self) -> Iterator[Line]:
        channels = ["book"] * self.wants_books + ["trade"] * ("trade" in self._config.wanted)
        most = self._config.per_connection
        for first in range(0, len(self._instruments) if channels else 0, most):
            part = self._instruments[first : first + most]
            requests = [self._request("subscribe", channel, each.venue_name) for channel in channels for each in part]
            yield Line(self._url, tuple(each.symbol for each in part), tuple(requests))

    @property
    def _url(self) -> str:
        return f"{self._config.websocket_url}/v2"

    # --- requests and answers ---------------------------------------------------------------------------------------

    def _request(self, method: str, channel: str, name: str = "") -> Request:
        params: dict[str, Any] = {"channel": channel}
        if name:
            params["symbol"] = [name]
        if channel == "book":
            params["depth"] = self._depth
        if method == "subscribe":
            params["snapshot"] = True
        number = next(self._numbers)
        return Request(str(number), {"method": method, "params": params, "req_id": number})

    def _answered(self, connection: Connection, answer: Answer) -> None:
        if answer.method == "pong":
            return
        if not self.answered(connection, str(answer.req_id)):
            self.rejected("malformed")
        elif not answer.success and answer.method == "subscribe" and answer.error != "Already subscribed":
            log.error("source %s: subscription of %s refused: %s", self.name, answer.symbol, answer.error)
            self.drop(connection, "refused")
