"""Thirty seconds of Kraken's books as they came, version 1; and the same in the words of version 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["PAIRS", "Update", "book_message", "messages", "updates"]

FILE = "cryptofeed/sample_data/KRAKEN.ws.50.0"
PAIRS = [
    "WAVES/EUR",
    "XMR/USD",
    "KSM/XBT",
    "GRT/ETH",
    "SC/EUR",
    "ETH/CHF",
    "OCEAN/XBT",
    "OMG/USD",
    "XBT/CHF",
    "ADA/XBT",
]
Levels = list[tuple[str, str]]


class Update(NamedTuple):
    pair: str
    snapshot: bool
    bids: Levels
    asks: Levels
    checksum: int | None


def messages(data_dir: Path) -> list[bytes]:
    """All that was received."""
    lines = (data_dir / FILE).read_text().splitlines()
    return [line.partition(": ")[2].encode() for line in lines if line[:1].isdigit()]


def updates(data_dir: Path) -> Iterator[Update]:
    for message in messages(data_dir):
        said = orjson.loads(message)
        if isinstance(said, list):
            parts = {key: value for part in said[1:-2] for key, value in part.items()}
            bids, asks = ([(level[0], level[1]) for level in parts.get(a, parts.get(a + "s", []))] for a in "ba")
            yield Update(said[-1], "as" in parts, bids, asks, int(parts["c"]) if "c" in parts else None)


def book_message(pair: str, kind: str, bids: Levels, asks: Levels, checksum: int) -> bytes:
    """The same as version 2 says it: numbers with all their digits."""
    sides = [",".join(f'{{"price":{price},"qty":{size}}}' for price, size in levels) for levels in (bids, asks)]
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{pair}","bids":[{sides[0]}],"asks":[{sides[1]}],'
        f'"checksum":{checksum},"timestamp":"2023-10-06T17:35:55.440295Z"}}]}}'
    ).encode()
