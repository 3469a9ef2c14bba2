"""The source of Coinbase's spot markets, Advanced Trade, over its websockets (feed.normalize.coinbase).

The products are asked for over REST first; each connection then has some of them: their level2, their market_trades,
and heartbeats, so that it is never silent. A message that is missing on a connection may have been of any of its
products, so that connection is made anew. Nothing of this needs a key.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlencode

import msgspec

from feed.clock import now_ns
from feed.normalize.coinbase import PUBLISHER, Coinbase
from feed.normalize.coinbase_messages import Subscriptions
from feed.sources.connection import Line, Request
from feed.sources.venue_books import BookSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.config import CoinbaseConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.normalize.spot import SpotInstrument
    from feed.sources.connection import Connection

__all__ = ["CoinbaseSource"]

log = logging.getLogger("tickcast.ingest")

PRODUCTS_PER_LINE: Final = 100
"""At most so many are asked for at once, and so share a connection."""

ENOUGH: Final = 1_000_000
"""Sizes of records reach at least to what is worth so much of the quoted currency."""

_CHANNELS: Final = {"level2": ("quote", "book"), "market_trades": ("trade",)}


class _Product(msgspec.Struct):
    """One that lacks something is none, and must not cost the others."""

    product_id: str = ""
    base_currency_id: str = ""
    quote_currency_id: str = ""
    base_increment: str = ""
    price_increment: str = ""
    price: str = ""


class _Products(msgspec.Struct):
    products: list[_Product]


class CoinbaseSource(BookSource):
    """Listens to ``config.symbols``; `clock` is wall ns."""

    SENDS_PER_S: ClassVar[float] = 4.0
    """Eight are allowed, of an address."""
    CONNECTS_PER_S: ClassVar[float] = 4.0
    asks_per_s: float = 5.0

    def __init__(
        self,
        name: str,
        config: CoinbaseConfig,
        sink: Sink | None,
        counters: Counters,
        *,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        venue = counters.histogram("tickcast_latency_seconds", stage="venue", transport=name)
        self._coinbase = Coinbase(sink, PUBLISHER, venue)
        super().__init__(name, config, sink, counters, self._coinbase, PUBLISHER, clock=clock)
        self._expected: dict[int, int] = {}
        """Of each connection: the number of its next message."""

    def begin(self) -> None:
        for number in range(len(self._parts)):
            self._ask_products(number)

    def on_answer(self, question: str, payload: bytes, received_ns: int) -> None:
        number = int(question.removeprefix("products "))
        try:
            told = {each.product_id: each for each in msgspec.json.decode(payload, type=_Products).products}
        except msgspec.MsgspecError as error:
            log.error("source %s: these are no products: %s: %r", self.name, error, payload[:100])
            self.rejected("malformed")
            self._ask_products(number, self._stale_s)
            return
        found = []
        for symbol in self._parts[number]:
            made = self._instrument(symbol, told[symbol]) if symbol in told else None
            if made is None:
                self.unknown(symbol)
            else:
                self.add(made, received_ns)
                found.append(symbol)
        channels = [channel for channel, words in _CHANNELS.items() if self._config.wanted.intersection(words)]
        if found and channels:
            requests = [_request("subscribe", "heartbeats", []), *(_request("subscribe", c, found) for c in channels)]
            self.connect([Line(self._config.websocket_url, tuple(found), tuple(requests))])

    def on_up(self, connection: Connection, received_ns: int) -> None:
        self._expected[connection.index] = 0
        super().on_up(connection, received_ns)

    def on_message(self, connection: Connection, payload: bytes, received_ns: int) -> None:
        self._coinbase.expected = self._expected.get(connection.index, 0)
        said = self._coinbase.apply(payload, received_ns)
        self._expected[connection.index] = self._coinbase.expected
        self.renew_wrong(received_ns)
        if said is None:
            return
        if isinstance(said, str):
            self.drop(connection, said)
        elif isinstance(said, Subscriptions):
            self._answered(connection, said)
        else:
            log.error("source %s: Coinbase refuses: %s", self.name, said.message)
            self.drop(connection, "refused")

    def renewal(self, instrument: SpotInstrument) -> list[Request]:
        return [_request(what, "level2", [instrument.venue_name], one=True) for what in ("unsubscribe", "subscribe")]

    # --- inside -----------------------------------------------------------------------------------------------------

    @property
    def _parts(self) -> list[list[str]]:
        """Which symbols share a connection."""
        symbols, most = self._config.symbols, min(self._config.per_connection, PRODUCTS_PER_LINE)
        return [symbols[first : first + most] for first in range(0, len(symbols), most)]

    def _ask_products(self, number: int, after_s: float = 0.0) -> None:
        names = urlencode([("product_ids", symbol) for symbol in self._parts[number]])
        self.ask(f"products {number}", f"/api/v3/brokerage/market/products?{names}", {}, after_s)

    def _instrument(self, symbol: str, product: _Product) -> SpotInstrument | None:
        names = (product.product_id, product.base_currency_id, product.quote_currency_id)
        return self.instrument(
            symbol, names, product.price_increment, product.base_increment, lambda: _enough(Decimal(product.price or 0))
        )

    def _answered(self, connection: Connection, said: Subscriptions) -> None:
        """What is subscribed now: which of our requests does it answer?"""
        now = {channel: set(names) for event in said.events for channel, names in event.subscriptions.items()}
        for key in list(connection.waits):
            what, channel, name = key.split(" ")
            wanted = {name} if name else set(connection.line.symbols)
            there = now.get(channel, set())
            if channel == "heartbeats":
                done = channel in now
            elif what == "subscribe":
                done = wanted <= there
            else:
                done = not wanted & there
            if done:
                self.answered(connection, key)


def _enough(price: Decimal) -> Decimal:
    return ENOUGH / price if price > 0 else Decimal(0)


def _request(what: str, channel: str, names: list[str], *, one: bool = False) -> Request:
    message: dict[str, Any] = {"type": what, "channel": channel}
    if names:
        message["product_ids"] = names
    return Request(f"{what} {channel} {names[0] if one else ''}", message)
