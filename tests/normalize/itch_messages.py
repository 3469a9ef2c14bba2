"""ITCH 5.0 messages made from a table of their own, apart from the code's; and a plain book of them to compare with."""

from __future__ import annotations

import struct
from collections import Counter, defaultdict

FORMATS = {
    "S": "code:1s",
    "R": "stock:8s category:1s financial:1s round_lot:I round_lots_only:1s issue_class:1s subtype:2s authenticity:1s "
    "short_sale:1s ipo:1s luld_tier:1s etp:1s leverage:I inverse:1s",
    "H": "stock:8s state:1s reserved:1s reason:4s",
    "Y": "stock:8s action:1s",
    "L": "mpid:4s stock:8s primary:1s mode:1s state:1s",
    "V": "level1:Q level2:Q level3:Q",
    "W": "level:1s",
    "K": "stock:8s release:I qualifier:1s price:I",
    "J": "stock:8s reference:I upper:I lower:I extension:I",
    "h": "stock:8s market:1s action:1s",
    "A": "reference:Q side:1s shares:I stock:8s price:I",
    "F": "reference:Q side:1s shares:I stock:8s price:I mpid:4s",
    "E": "reference:Q shares:I match:Q",
    "C": "reference:Q shares:I match:Q printable:1s price:I",
    "X": "reference:Q shares:I",
    "D": "reference:Q",
    "U": "reference:Q new_reference:Q shares:I price:I",
    "P": "reference:Q side:1s shares:I stock:8s price:I match:Q",
    "Q": "shares:Q stock:8s price:I match:Q cross:1s",
    "B": "match:Q",
    "I": "paired:Q imbalance:Q direction:1s stock:8s far:I near:I reference:I cross:1s variation:1s",
    "N": "stock:8s interest:1s",
    "O": "stock:8s eligible:1s lowest:I highest:I near:I near_time:Q lower:I upper:I",
}
LENGTHS = dict(
    zip(
        "SRHYLVWKJhAFECXDUPQBINO",
        (12, 39, 25, 20, 26, 35, 12, 28, 35, 21, 36, 40, 31, 36, 23, 19, 35, 44, 40, 19, 50, 20, 48),
        strict=True,
    )
)


def message(kind: str, locate: int = 1, time: int = 0, **fields: int | str) -> bytes:
    """One message; fields not named are 0 or spaces, `stock` of a locate code is S and the code."""
    parts = kind.encode() + struct.pack(">HH", locate, 0) + time.to_bytes(6, "big")
    fields.setdefault("stock", f"S{locate}")
    for field in FORMATS[kind].split():
        name, form = field.split(":")
        value = fields.get(name, "" if form.endswith("s") else 0)
        if isinstance(value, str):
            value_bytes = value.encode().ljust(int(form[:-1] or 1))
            parts += value_bytes
        else:
            parts += struct.pack(f">{form}", value)
    return parts


def framed(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(each)) + each for each in messages)


def split(raw: bytes) -> list[bytes]:
    """The messages of a file."""
    found, at = [], 0
    while at < len(raw):
        n = int.from_bytes(raw[at : at + 2], "big")
        found.append(raw[at + 2 : at + 2 + n])
        at += 2 + n
    return found


class PlainBooks:
    """Every order in a dict, every level in another; slow, and short enough to be seen to be right.

    `quotes`: (locate, number of the message, bid, ask, doubtful?), a side (price in 0.0001, size, orders) or None, of
    whenever price or size of a best level changed or a book became doubtful. `trades`: (locate, number of the message,
    price, size, aggressor).
    """

    def __init__(self) -> None:
        self.orders: dict[int, list[int]] = {}  # reference: locate, side (0 bid), price, size
        self.levels: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(dict)
        self.quotes: list[tuple[object, ...]] = []
        self.trades: list[tuple[int, int, int, int, str]] = []
        self.rejected: Counter[str] = Counter()
        self.bad: set[int] = set()
        self._n = 0

    def best(self, locate: int, side: int) -> tuple[int, int, int] | None:
        levels = self.levels[locate, side]
        if not levels:
            return None
        price = min(levels) if side else max(levels)
        return price, *levels[price]

    def ten(self, locate: int, side: int) -> list[tuple[int, int, int]]:
        levels = self.levels[locate, side]
        return [(price, *levels[price]) for price in sorted(levels, reverse=not side)]

    def apply(self, raw: bytes) -> None:
        """An order message (A F E C X D U) or P; all others are left out."""
        self._n += 1
        kind, (locate,) = chr(raw[0]), struct.unpack_from(">H", raw, 1)
        if kind in "AF":
            reference, side, shares, _, price = struct.unpack_from(">QcI8sI", raw, 11)
            self._add(locate, reference, int(side == b"S"), shares, price)
        elif kind == "P":
            shares, price = struct.unpack_from(">I8xI", raw, 20)
            self.trades.append((locate, self._n, price, shares, "N"))
        elif kind in "ECXDU":
            (reference,) = struct.unpack_from(">Q", raw, 11)
            if reference not in self.orders:
                self._refuse("unknown_order", locate)
                return
            owner, side, price, size = self.orders[reference]
            if owner != locate:
                self._refuse("wrong_locate", locate, owner)
            if kind == "D":
                self._take(reference, size)
            elif kind == "U":
                new, shares, new_price = struct.unpack_from(">QII", raw, 19)
                before = self.best(owner, side)
                self._take(reference, size, silent=True)
                self._add(owner, new, side, shares, new_price, before)
            else:
                (shares,) = struct.unpack_from(">I", raw, 19)
                if shares > size:
                    self._refuse("negative_size", owner)
                if kind in "EC":
                    if kind == "C":
                        (price,) = struct.unpack_from(">I", raw, 32)
                    if kind == "E" or raw[31:32] == b"Y":
                        self.trades.append((owner, self._n, price, shares, "BA"[1 - side]))
                self._take(reference, min(size, shares))

    def _add(
        self, locate: int, reference: int, side: int, shares: int, price: int, before: object = "the best now"
    ) -> None:
        if reference in self.orders:
            owner, _, _, size = self.orders[reference]
            self._refuse("repeated_order", locate, owner)
            self._take(reference, size)
        if before == "the best now":
            before = self.best(locate, side)
        self.orders[reference] = [locate, side, price, shares]
        level = self.levels[locate, side].setdefault(price, [0, 0])
        level[0] += shares
        level[1] += 1
        self._compare(locate, side, before)

    def _take(self, reference: int, shares: int, *, silent: bool = False) -> None:
        order = self.orders[reference]
        locate, side, price, _ = order
        before = self.best(locate, side)
        level = self.levels[locate, side][price]
        order[3] -= shares
        level[0] -= shares
        if not order[3]:
            del self.orders[reference]
            level[1] -= 1
        if not level[1]:
            del self.levels[locate, side][price]
        if not silent:
            self._compare(locate, side, before)

    def _compare(self, locate: int, side: int, before: object) -> None:
        now = self.best(locate, side)
        if (now and now[:2]) != (before and before[:2]):  # type: ignore[index]
            self._quote(locate)

    def _quote(self, locate: int) -> None:
        self.quotes.append((locate, self._n, self.best(locate, 0), self.best(locate, 1), locate in self.bad))

    def _refuse(self, why: str, *locates: int) -> None:
        self.rejected[why] += 1
        for locate in dict.fromkeys(locates):
            if locate not in self.bad:
                self.bad.add(locate)
                self._quote(locate)
