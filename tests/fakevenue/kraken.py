"""Kraken's websockets, version 2, as far as public data goes: instrument, book with its checksums, trade.

python -m tests.fakevenue.kraken --symbols BTC/USD,ETH/USD --per-s 1000 --fault checksum --fault disconnect
"""

from __future__ import annotations

import argparse
import datetime
import time
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.fakevenue.market import ASK, BID, Market
from tests.fakevenue.venue import FakeVenue, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from aiohttp import web

    from tests.fakevenue.market import Trade
    from tests.fakevenue.venue import Session

__all__ = ["FakeKraken", "markets"]

DEPTHS = (10, 25, 100, 500, 1000)
SNAPSHOT_TRADES = 50
Levels = list[tuple[int, int]]


class FakeKraken(FakeVenue):
    """`past` keeps what each market was like after each of its updates: the best ten of both sides."""

    def __init__(self, markets: Sequence[Market], *, keep: bool = True, **more: Any) -> None:
        super().__init__(markets, **more)
        self.past: dict[str, set[tuple[tuple[tuple[int, int], ...], ...]]] = defaultdict(set)
        self.trades: dict[str, list[tuple[Trade, int]]] = defaultdict(list)
        """With when they were, ns."""
        self.refused: set[str] = set()
        """Symbols that nobody may subscribe."""
        self._keep = keep
        for symbol, market in self.markets.items():
            self.past[symbol].add(market.state())

    def routes(self) -> list[tuple[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]]:
        return []

    async def heard(self, session: Session, message: Any) -> None:
        method, number = message.get("method"), message.get("req_id", 0)
        if not session.numbers["greeted"]:
            session.numbers["greeted"] = 1
            await session.send({"channel": "status", "type": "update", "data": [{"system": "online"}]})
        if method == "ping":
            await session.send({"method": "pong", "req_id": number})
            return
        params = message.get("params", {})
        channel = params.get("channel")
        if channel == "instrument":
            await session.send(_answer(method, number, {"channel": channel}))
            await session.send(self._instruments())
            return
        for symbol in params.get("symbol", []):
            await self._asked(session, method, number, channel, symbol, params.get("depth", 10))

    async def _asked(self, session: Session, method: str, number: int, channel: str, symbol: str, depth: int) -> None:
        market = self.markets.get(symbol)
        stream = f"book-{depth}.{symbol}" if channel == "book" else f"{channel}.{symbol}"
        error = ""
        if market is None or symbol in self.refused or channel not in {"book", "trade"} or depth not in DEPTHS:
            error = f"Currency pair not supported {symbol}"
        elif method == "subscribe" and stream in session.subscribed:
            error = "Already subscribed"
        elif method == "unsubscribe" and stream not in session.subscribed:
            error = "Subscription Not Found"
        if error or market is None:
            await session.send({"method": method, "req_id": number, "success": False, "error": error, "symbol": symbol})
            return
        result = {"channel": channel, "symbol": symbol} | ({"depth": depth} if channel == "book" else {})
        if method == "unsubscribe":
            session.subscribed.discard(stream)
            await session.send(_answer(method, number, result))
            return
        await session.send(_answer(method, number, {**result, "snapshot": True}))
        async with self._turn:  # between a snapshot and the updates after it nothing may happen
            if channel == "book":
                views = [market.levels(side, depth) for side in (BID, ASK)]
                await session.send(self._book(market, "snapshot", views, self._checksum(market)))
            elif self.trades[symbol]:
                await session.send(self._trades(market, "snapshot", self.trades[symbol][-SNAPSHOT_TRADES:]))
            session.subscribed.add(stream)

    async def move(self, market: Market) -> None:
        """One update, and a trade now and then."""
        symbol = market.symbol
        depths = {depth for depth in DEPTHS for each in self.sessions if f"book-{depth}.{symbol}" in each.subscribed}
        before = {depth: [dict(market.levels(side, depth)) for side in (BID, ASK)] for depth in depths}
        if not market.move(1 + self.random.randrange(8)):
            return
        if self._keep:
            self.past[symbol].add(market.state())
        seen = {
            depth: [self._changed(market, side, depth, before[depth][side]) for side in (BID, ASK)] for depth in depths
        }
        if any(any(changed) for changed in seen.values()) and not self.falls_to("gap"):
            wrong = 1 << self.random.randrange(32) if self.falls_to("checksum") else 0
            for depth, changed in seen.items():
                if any(changed):
                    message = self._book(market, "update", changed, self._checksum(market) ^ wrong)
                    await self.tell(f"book-{depth}.{symbol}", message)
        if self.random.random() < 0.2:
            told = (market.trade(), time.time_ns())
            self.trades[symbol].append(told)
            if not self._keep:
                del self.trades[symbol][:-SNAPSHOT_TRADES]
            await self.tell(f"trade.{symbol}", self._trades(market, "update", [told]))

    def _changed(self, market: Market, side: int, depth: int, before: dict[int, int]) -> Levels:
        """What is another size or has come into sight; what has gone, but not what was pushed out of sight."""
        now = dict(market.levels(side, depth))
        gone = [(price, 0) for price in before if price not in market.sides[side]]
        return gone + [(price, size) for price, size in now.items() if before.get(price) != size]

    def _checksum(self, market: Market) -> int:
        text = ""
        for side in (ASK, BID):
            for price, size in market.levels(side):
                for number in (market.price_text(price), market.size_text(size)):
                    text += number.replace(".", "").lstrip("0")
        return zlib.crc32(text.encode())

    def _book(self, market: Market, kind: str, sides: Sequence[Levels], total: int) -> bytes:
        bids, asks = (
            ",".join(f'{{"price":{market.price_text(p)},"qty":{market.size_text(s)}}}' for p, s in side)
            for side in sides
        )
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{market.symbol}","bids":[{bids}],"asks":[{asks}],'
            f'"checksum":{total},"timestamp":"{_time(time.time_ns())}"}}]}}'
        ).encode()

    def _trades(self, market: Market, kind: str, trades: Iterable[tuple[Trade, int]]) -> bytes:
        told = ",".join(
            f'{{"symbol":"{market.symbol}","side":"{"sell" if trade.side else "buy"}",'
            f'"price":{market.price_text(trade.price)},"qty":{market.size_text(trade.size)},"ord_type":"limit",'
            f'"trade_id":{trade.number},"timestamp":"{_time(when)}"}}'
            for trade, when in trades
        )
        return f'{{"channel":"trade","type":"{kind}","data":[{told}]}}'.encode()

    def _instruments(self) -> bytes:
        pairs = ",".join(
            f'{{"symbol":"{each.symbol}","base":"{each.symbol.split("/")[0]}","quote":"{each.symbol.split("/")[-1]}",'
            f'"price_increment":{each.price_text(1)},"qty_increment":{each.size_text(1)},"qty_min":{each.size_text(100)},'
            f'"status":"online"}}'
            for each in self.markets.values()
        )
        return f'{{"channel":"instrument","type":"snapshot","data":{{"assets":[],"pairs":[{pairs}]}}}}'.encode()


def _answer(method: str, number: int, result: dict[str, Any]) -> dict[str, Any]:
    return {"method": method, "req_id": number, "success": True, "result": result}


def _time(ns: int) -> str:
    moment = datetime.datetime.fromtimestamp(ns // 10**9, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % 10**9 // 1000:06d}Z"


def markets(symbols: Sequence[str], seed: int = 1) -> list[Market]:
    """One for each of the venue's names."""
    return [
        Market(symbol, price_decimals=1, size_decimals=5, start=1_000_000 * (i + 1), seed=seed)
        for i, symbol in enumerate(symbols)
    ]


def _make(given: argparse.Namespace) -> FakeKraken:
    return FakeKraken(markets(given.symbols.split(",")), keep=False, per_s=given.per_s, port=given.port)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--symbols", default="BTC/USD,ETH/USD")
    run(_make, arguments)
