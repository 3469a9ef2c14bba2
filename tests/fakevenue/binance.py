"""Binance as far as public data goes: combined streams with SUBSCRIBE, exchangeInfo and depth, of spot or futures.

python -m tests.fakevenue.binance --symbols BTCUSDT,ETHUSDT --per-s 1000 --fault gap --fault disconnect
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakevenue.market import ASK, BID, Market
from tests.fakevenue.venue import FakeVenue, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.fakevenue.market import Trade
    from tests.fakevenue.venue import Session

__all__ = ["FakeBinance", "markets"]

PATHS = {"spot": "/api/v3", "usdm": "/fapi/v1", "coinm": "/dapi/v1"}


class FakeBinance(FakeVenue):
    """`past` keeps what each market was like after each of its updates, by u: the best ten of both sides."""

    def __init__(self, markets: Sequence[Market], *, market: str = "spot", keep: bool = True, **more: Any) -> None:
        super().__init__(markets, **more)
        self.market = market
        self.past: dict[str, dict[int, tuple[tuple[tuple[int, int], ...], ...]]] = {}
        self.trades: dict[str, dict[int, Trade]] = {symbol: {} for symbol in self.markets}
        self.last = dict.fromkeys(self.markets, 1_000)
        """u of each symbol's last update."""
        self._keep = keep
        self._number = 1_000
        for symbol, each in self.markets.items():
            self.past[symbol] = {self.last[symbol]: each.state()}

    def routes(self) -> list[tuple[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]]:
        path = PATHS[self.market]
        return [(f"{path}/exchangeInfo", self._info), (f"{path}/depth", self._depth)]

    async def heard(self, session: Session, message: Any) -> None:
        if message.get("method") != "SUBSCRIBE":
            await session.send({"error": {"code": 2, "msg": "Invalid request"}, "id": message.get("id")})
            return
        session.subscribed.update(message["params"])
        await session.send({"result": None, "id": message["id"]})

    async def move(self, market: Market) -> None:
        """One update, what it makes of the best, and a trade now and then."""
        symbol, stream = market.symbol, market.symbol.lower()
        before = (market.levels(BID, 1), market.levels(ASK, 1))
        changes = market.move(1 + self.random.randrange(8))
        if not changes:
            return
        now_ms = time.time_ns() // 1_000_000
        first, previous = self._next_id(symbol, len(changes)), self.last[symbol]
        last = self.last[symbol] = self._number
        if self._keep:
            self.past[symbol][last] = market.state()
        depth = {
            "e": "depthUpdate",
            "E": now_ms,
            "s": symbol,
            "U": first,
            "u": last,
            "b": [self._level(market, c.price, c.size) for c in changes if c.side == BID],
            "a": [self._level(market, c.price, c.size) for c in changes if c.side == ASK],
        }
        if self.market != "spot":
            depth |= {"T": now_ms, "pu": previous}
        if not self.falls_to("gap"):
            await self._send(f"{stream}@depth@{'100ms' if self.market == 'spot' else '0ms'}", depth)
        after = (market.levels(BID, 1), market.levels(ASK, 1))
        if after != before:
            (bid,), (ask,) = after
            ticker = {"u": last, "s": symbol}
            ticker |= dict(zip("bB", self._level(market, *bid), strict=True))
            ticker |= dict(zip("aA", self._level(market, *ask), strict=True))
            if self.market != "spot":
                ticker |= {"e": "bookTicker", "T": now_ms, "E": now_ms}
            await self._send(f"{stream}@bookTicker", ticker)
        if self.random.random() < 0.2:
            trade = market.trade()
            if self._keep:
                self.trades[symbol][trade.number] = trade
            price, size = self._level(market, trade.price, trade.size)
            told = {"e": "trade", "E": now_ms, "s": symbol, "t": trade.number, "p": price, "q": size, "T": now_ms}
            await self._send(f"{stream}@trade", {**told, "m": trade.side == ASK})

    async def _send(self, stream: str, data: dict[str, Any]) -> None:
        await self.tell(stream, {"stream": stream, "data": data})

    def _next_id(self, symbol: str, n: int) -> int:
        """The first of `n` ids that belong together: spot counts each symbol by itself, futures all together."""
        if self.market == "spot":
            self._number = self.last[symbol] + n
            return self.last[symbol] + 1
        self._number += self.random.randrange(1, 4) + n
        return self._number - n + 1

    def _level(self, market: Market, price: int, size: int) -> list[str]:
        return [market.price_text(price), market.size_text(size)]

    async def _info(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"timezone": "UTC", "symbols": [self._about(m) for m in self.markets.values()]})

    def _about(self, market: Market) -> dict[str, Any]:
        name = market.symbol.partition("_")[0]
        quote = "USDT" if name.endswith("USDT") else "USD"
        return {
            "symbol": market.symbol,
            "status": "TRADING",
            "baseAsset": name.removesuffix(quote),
            "quoteAsset": quote,
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": market.price_text(1)},
                {"filterType": "LOT_SIZE", "stepSize": market.size_text(1)},
            ],
            **({} if self.market == "spot" else {"deliveryDate": 4133404800000}),
            **({"contractSize": 100} if self.market == "coinm" else {}),
        }

    async def _depth(self, request: web.Request) -> web.StreamResponse:
        market = self.markets.get(request.query.get("symbol", ""))
        if market is None:
            return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
        most = int(request.query.get("limit", "100"))
        now_ms = time.time_ns() // 1_000_000
        return web.json_response(
            {
                "lastUpdateId": self.last[market.symbol],
                **({} if self.market == "spot" else {"E": now_ms, "T": now_ms}),
                "bids": [self._level(market, *level) for level in market.levels(BID, most)],
                "asks": [self._level(market, *level) for level in market.levels(ASK, most)],
            }
        )


def markets(symbols: Sequence[str], seed: int = 1) -> list[Market]:
    """One for each of the venue's names."""
    return [Market(symbol, start=1_000_000 * (i + 1), seed=seed) for i, symbol in enumerate(symbols)]


def _make(given: argparse.Namespace) -> FakeBinance:
    return FakeBinance(
        markets(given.symbols.split(",")), market=given.market, keep=False, per_s=given.per_s, port=given.port
    )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--symbols", default="BTCUSDT,ETHUSDT")
    arguments.add_argument("--market", choices=sorted(PATHS), default="spot")
    run(_make, arguments)
