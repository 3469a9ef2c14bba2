"""An instrument as a venue has it: a book that moves, and every state it was ever in."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["ASK", "BID", "Change", "Market", "Trade"]

BID, ASK = 0, 1
TEN = 10
DEEP = 40
"""Levels away from the best within which a book moves."""


class Change(NamedTuple):
    """A level's new size, 0: it is gone. In ticks and lots."""

    side: int
    price: int
    size: int


class Trade(NamedTuple):
    number: int
    price: int
    size: int
    side: int
    """Whose order met the resting one: BID a buyer's."""


@dataclass
class Market:
    """`price_decimals` and `size_decimals` are what a tick and a lot are: prices and sizes here are whole numbers."""

    symbol: str
    price_decimals: int = 2
    size_decimals: int = 5
    start: int = 6_000_000
    seed: int = 1
    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    trades: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.symbol} {self.seed}")
        for away in range(1, DEEP):
            self.sides[BID][self.start - away] = self._size()
            self.sides[ASK][self.start + away] = self._size()

    def move(self, changes: int) -> list[Change]:
        """Change so many levels; bid and ask never meet."""
        made: dict[tuple[int, int], int] = {}
        for _ in range(changes):
            side = self._random.randrange(2)
            levels, best = self.sides[side], self.best(side)
            away = min(DEEP, int(self._random.expovariate(0.3))) - (self._random.random() < 0.2)
            price = best - away if side == BID else best + away
            other = self.best(1 - side)
            if price >= other if side == BID else price <= other:
                continue
            gone = self._random.random() < 0.3 and len(levels) > TEN + 2
            size = 0 if gone else self._size()
            if gone and price not in levels:
                continue
            made[side, price] = size
            if size:
                levels[price] = size
            else:
                del levels[price]
            while len(levels) > 3 * DEEP:
                far = min(levels) if side == BID else max(levels)
                del levels[far]
                made[side, far] = 0
        return [Change(side, price, size) for (side, price), size in made.items()]

    def trade(self) -> Trade:
        """Somebody takes a little of the best; what is left of the book is another change."""
        self.trades += 1
        side = self._random.randrange(2)
        return Trade(self.trades, self.best(1 - side), 1 + self._random.randrange(1000), side)

    def best(self, side: int) -> int:
        return max(self.sides[BID]) if side == BID else min(self.sides[ASK])

    def levels(self, side: int, n: int = TEN) -> list[tuple[int, int]]:
        """The best `n`, best first."""
        prices = sorted(self.sides[side], reverse=side == BID)[:n]
        return [(price, self.sides[side][price]) for price in prices]

    def state(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The best ten of both sides."""
        return tuple(tuple(self.levels(side)) for side in (BID, ASK))

    def price_text(self, price: int) -> str:
        return _text(price, self.price_decimals)

    def size_text(self, size: int) -> str:
        return _text(size, self.size_decimals)

    def price_raw(self, price: int) -> int:
        """In units of 1e-9."""
        return int(price * 10 ** (9 - self.price_decimals))

    def _size(self) -> int:
        return 1 + self._random.randrange(10**6)


def _text(number: int, decimals: int) -> str:
    digits = str(number).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
