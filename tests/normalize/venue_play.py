"""A crypto venue's normaliser on a tape: what became of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from feed.normalize.venue import SCHEMAS
from feed.wire.records import BY_WORD, UNDEF_PRICE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sources.tape import Taken, Tape

__all__ = ["BAD", "LAST", "SNAPSHOT", "Told", "asked_topics", "told"]

LAST, SNAPSHOT, BAD = 128, 32, 4


class Told(NamedTuple):
    """A record, its sizes in units of its symbol; one level of a quote, ten of a book, (price, size) of a trade."""

    schema: str
    symbol: str
    flags: int
    ts_event: int
    levels: tuple[tuple[int, int, int, int], ...]
    """(bid price, bid size, ask price, ask size), only those that are; a trade's is its price, size, side, sequence."""


def asked_topics(tape: Tape, symbol: str) -> list[int]:
    return [tape.sink.topic(word, symbol) for word in SCHEMAS]


def told(tape: Tape) -> list[Told]:
    """What was put onto the tape since the last call."""
    return list(_told(tape.take()))


def _told(taken: Iterable[Taken]) -> Iterable[Told]:
    for one in taken:
        record = np.frombuffer(one.record, BY_WORD[one.schema].dtype)[0]
        if one.schema == "trade":
            levels = [(int(record["price"]), int(record["size"]), ord(record["side"]), int(record["sequence"]))]
        elif one.schema == "definition":
            levels = [(int(record["min_price_increment"]), int(record["unit_of_measure_qty"]), 0, 0)]
        else:
            rows = record["levels"] if one.schema == "book" else [record]
            levels = [
                (int(row["bid_px"]), int(row["bid_sz"]), int(row["ask_px"]), int(row["ask_sz"]))
                for row in rows
                if row["bid_px"] != UNDEF_PRICE or row["ask_px"] != UNDEF_PRICE
            ]
        flags = 0 if one.schema == "definition" else int(record["flags"])
        yield Told(one.schema, one.symbol, flags, int(record["ts_event"]), tuple(levels))
