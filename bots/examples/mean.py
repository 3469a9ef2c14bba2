"""The mean trade price of each symbol: a bot of callbacks.

    bots run mean.py --symbols AAPL,MSFT            (bots run FILE --help: transports, order and more)

`on_trade` is called for each trade, in order; `on_gap` when trades are missing, before the first one behind them.
Only the schemas of callbacks that you write are subscribed to.
"""

from __future__ import annotations

from bots import Bot, Gap, Trade

EVERY = 1000


class Mean(Bot):
    def on_start(self) -> None:
        self.volume: dict[str, int] = {}
        self.value: dict[str, float] = {}
        self.trades = 0

    def on_trade(self, t: Trade) -> None:
        self.volume[t.symbol] = self.volume.get(t.symbol, 0) + t.size
        self.value[t.symbol] = self.value.get(t.symbol, 0.0) + t.price * t.size
        self.trades += 1
        if self.trades % EVERY == 0:
            self.show()

    def on_gap(self, gap: Gap) -> None:
        print(f"{gap.count} missing of {gap.topic} ({gap.cause})")

    def on_stop(self) -> None:
        self.show()

    def show(self) -> None:
        busiest = sorted(self.volume, key=lambda symbol: -self.volume[symbol])[:5]
        means = "  ".join(f"{symbol} {self.value[symbol] / self.volume[symbol]:.4f}" for symbol in busiest)
        print(f"{self.trades} trades  {means}", flush=True)
