"""A source of one's own: quotes that walk at random. Try it from any directory:

feed run --set source.walk.kind=python:feed.sources.examples.walk:Walk --set source.walk.symbols=AAPL,MSFT
"""

import random
import time

from feed.sources import Source


class Walk(Source):
    """Every `every_ms` a step of each of `symbols`, from `start`: a price exact to the cent as text."""

    def __init__(self, symbols: list[str], every_ms: float = 10.0, start: str = "100.00", seed: int = 0) -> None:
        self._every_s = every_ms / 1000
        self._cents = dict.fromkeys(symbols, round(float(start) * 100))
        self._chance = random.Random(seed)
        self._due_s = time.monotonic()

    def poll(self) -> None:
        if time.monotonic() < self._due_s:
            return
        self._due_s += self._every_s
        for symbol in self._cents:
            self._cents[symbol] += self._chance.choice((-1, 0, 1))
            bid, ask = (f"{cents / 100:.2f}" for cents in (self._cents[symbol], self._cents[symbol] + 1))
            self.quote(symbol, bid_px=bid, ask_px=ask, bid_sz=100, ask_sz=100)

    def wait(self, timeout_s: float) -> None:
        time.sleep(min(timeout_s, max(0.0, self._due_s - time.monotonic())))
