"""Coinbase's Advanced Trade as far as public data goes: products over REST; level2, market_trades, heartbeats.

python -m tests.fakevenue.coinbase --symbols BTC-USD,ETH-USD --per-s 1000 --fault gap --fault disconnect
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakevenue.market import ASK, BID, Market
from tests.fakevenue.venue import FakeVenue, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from tests.fakevenue.market import Trade
    from tests.fakevenue.venue import Session

__all__ = ["FakeCoinbase", "markets"]

CHANNELS = ("level2", "market_trades", "heartbeats")
SNAPSHOT_TRADES = 50
BEAT_S = 1.0


class FakeCoinbase(FakeVenue):
    """`past` keeps what each market was like after each of its updates: the best ten of both sides."""

    def __init__(self, markets: Sequence[Market], *, keep: bool = True, **more: Any) -> None:
        super().__init__(markets, **more)
        self.past: dict[str, set[tuple[tuple[tuple[int, int], ...], ...]]] = defaultdict(set)
        self.trades: dict[str, list[tuple[Trade, int]]] = defaultdict(list)
        """With when they were, ns."""
        self._keep = keep
        self._beat_at = 0.0
        self._beats = 0
        for symbol, market in self.markets.items():
            self.past[symbol].add(market.state())

    def routes(self) -> list[tuple[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]]:
        return [("/api/v3/brokerage/market/products", self._products)]

    async def heard(self, session: Session, message: Any) -> None:
        what, channel = message.get("type"), message.get("channel")
        names = message.get("product_ids", [])
        if what not in {"subscribe", "unsubscribe"} or channel not in CHANNELS or set(names) - set(self.markets):
            await session.send({"type": "error", "message": f"{what} of {channel} {names} fails"})
            return
        async with self._turn:  # between a snapshot and the updates after it nothing may happen
            streams = {f"{channel} {name}" for name in names} or {channel}
            if what == "unsubscribe":
                session.subscribed -= streams
            else:
                session.subscribed |= streams
            await self._say(session, "subscriptions", [{"subscriptions": _by_channel(session.subscribed)}])
            for name in names if what == "subscribe" else ():
                if channel == "level2":
                    levels = [(side, *each) for side in (BID, ASK) for each in self.markets[name].levels(side, 10**6)]
                    await self._say(session, "l2_data", [self._book(self.markets[name], "snapshot", levels)])
                elif channel == "market_trades" and self.trades[name]:
                    last = reversed(self.trades[name][-SNAPSHOT_TRADES:])
                    await self._say(session, "market_trades", [self._trades(self.markets[name], "snapshot", last)])

    async def move(self, market: Market) -> None:
        """One update, a trade now and then, a heartbeat each second."""
        symbol = market.symbol
        if time.monotonic() > self._beat_at:
            self._beat_at = time.monotonic() + BEAT_S
            self._beats += 1
            await self._tell("heartbeats", "heartbeats", {"heartbeat_counter": self._beats})
        changes = market.move(1 + self.random.randrange(8))
        if not changes:
            return
        if self._keep:
            self.past[symbol].add(market.state())
        await self._tell(f"level2 {symbol}", "l2_data", self._book(market, "update", changes))
        if self.random.random() < 0.2:
            told = (market.trade(), time.time_ns())
            self.trades[symbol].append(told)
            if not self._keep:
                del self.trades[symbol][:-SNAPSHOT_TRADES]
            await self._tell(f"market_trades {symbol}", "market_trades", self._trades(market, "update", [told]))

    async def _tell(self, stream: str, channel: str, event: dict[str, Any]) -> None:
        for session in list(self.sessions):
            if stream in session.subscribed:
                await self._say(session, channel, [event])

    async def _say(self, session: Session, channel: str, events: list[dict[str, Any]]) -> None:
        number = session.numbers["sequence"]
        session.numbers["sequence"] += 1
        if self.falls_to("gap"):
            return
        head = {"channel": channel, "client_id": "", "timestamp": _time(time.time_ns()), "sequence_num": number}
        message: Any = {**head, "events": events}
        await session.send(self.damaged(message) if self.falls_to("garbage") else message)

    def _book(self, market: Market, kind: str, levels: Iterable[tuple[int, int, int]]) -> dict[str, Any]:
        updates = [
            {
                "side": "bid" if side == BID else "offer",
                "event_time": _time(time.time_ns() if kind == "update" else 0),
                "price_level": market.price_text(price),
                "new_quantity": market.size_text(size) if size else "0",
            }
            for side, price, size in levels
        ]
        return {"type": kind, "product_id": market.symbol, "updates": updates}

    def _trades(self, market: Market, kind: str, trades: Iterable[tuple[Trade, int]]) -> dict[str, Any]:
        told = [
            {
                "trade_id": str(trade.number),
                "product_id": market.symbol,
                "price": market.price_text(trade.price),
                "size": market.size_text(trade.size),
                "side": "SELL" if trade.side == BID else "BUY",  # of the order that rested
                "time": _time(when),
            }
            for trade, when in trades
        ]
        return {"type": kind, "trades": told}

    async def _products(self, request: web.Request) -> web.StreamResponse:
        asked = [self.markets[name] for name in request.query.getall("product_ids", []) if name in self.markets]
        products = [
            {
                "product_id": each.symbol,
                "price": each.price_text(each.best(BID)),
                "base_increment": each.size_text(1),
                "price_increment": each.price_text(1),
                "base_currency_id": each.symbol.split("-")[0],
                "quote_currency_id": each.symbol.split("-")[-1],
                "status": "online",
            }
            for each in asked
        ]
        return web.json_response({"products": products, "num_products": len(products)})


def _by_channel(streams: Iterable[str]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for stream in sorted(streams):
        channel, _, name = stream.partition(" ")
        found[channel].append(name or channel)
    return dict(found)


def _time(ns: int) -> str:
    moment = datetime.datetime.fromtimestamp(ns // 10**9, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"


def markets(symbols: Sequence[str], seed: int = 1) -> list[Market]:
    """One for each of the venue's names."""
    return [
        Market(symbol, price_decimals=2, size_decimals=5, start=1_000_000 * (i + 1), seed=seed)
        for i, symbol in enumerate(symbols)
    ]


def _make(given: argparse.Namespace) -> FakeCoinbase:
    return FakeCoinbase(markets(given.symbols.split(",")), keep=False, per_s=given.per_s, port=given.port)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--symbols", default="BTC-USD,ETH-USD")
    run(_make, arguments)
