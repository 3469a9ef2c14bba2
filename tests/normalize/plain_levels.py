"""A price-level book as one would write it first: what the native one is compared with."""

from __future__ import annotations

import zlib
from decimal import Decimal

__all__ = ["Plain"]


class Plain:
    """Texts by price in 1e-9, bids and asks."""

    def __init__(self) -> None:
        self.sides: tuple[dict[int, str], dict[int, str]] = ({}, {})
        self.texts: dict[int, str] = {}

    def put(self, side: int, price: str, size: str) -> None:
        units = int(Decimal(price).scaleb(9))
        self.texts[units] = price
        if Decimal(size):
            self.sides[side][units] = size
        else:
            self.sides[side].pop(units, None)

    def cut(self, depth: int) -> None:
        for side in (0, 1):
            for price in self.prices(side)[depth:]:
                del self.sides[side][price]

    def prices(self, side: int) -> list[int]:
        return sorted(self.sides[side], reverse=not side)

    def levels(self, side: int) -> list[tuple[int, Decimal]]:
        return [(price, Decimal(self.sides[side][price])) for price in self.prices(side)]

    def crc32(self) -> int:
        text = ""
        for side in (1, 0):
            for price in self.prices(side)[:10]:
                text += self.texts[price].replace(".", "").lstrip("0") + self.sides[side][price].replace(
                    ".", ""
                ).lstrip("0")
        return zlib.crc32(text.encode())
