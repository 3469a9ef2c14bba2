"""ITCH messages through the native normaliser, onto a tape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from feed.normalize.itch import NO_TOPIC, SCHEMAS, Itch
from feed.normalize.itch_frames import ItchFrames, Want
from feed.wire.records import BY_WORD, UNDEF_PRICE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.sources.tape import Taken, Tape

MIDNIGHT = 1_580_360_400_000_000_000  # 2020-01-30, New York


class Played:
    """What came of the bytes `raw`, given in pieces of `piece`."""

    def __init__(
        self, tape: Tape, raw: bytes, schemas: Sequence[str] = ("quote", "trade"), piece: int = 1 << 20
    ) -> None:
        self.itch = Itch("XNAS", orders=100_000)
        self.itch.begin(MIDNIGHT)
        self.frames = ItchFrames(self.itch, math.inf)
        self.taken: list[Taken] = []
        at = 0
        while True:
            self.frames.pour(tape.sink, 1000, 0)
            self.frames.flush(tape.sink)
            self.taken += tape.take()
            if self.frames.want == Want.BYTES:
                if at == len(raw):
                    self.frames.finish()
                    if not self.frames.pour(tape.sink, 1000, 0) and self.frames.want == Want.BYTES:
                        break
                    self.taken += tape.take()
                    continue
                space = self.frames.space()
                part = raw[at : at + min(piece, len(space))]
                space[: len(part)] = part
                self.frames.filled(len(part))
                at += len(part)
            elif self.frames.want == Want.NAME:
                locate, stock = self.itch.waiting
                symbol = stock.decode("latin-1").strip()
                name = symbol if symbol.isascii() and symbol.isalnum() else f"#{locate}"
                topics = [tape.sink.topic(word, name) if word in schemas else NO_TOPIC for word in SCHEMAS]
                self.itch.bind(locate, stock, topics)
        self.rejected = dict(self.itch.take_rejected())

    def of(self, schema: str) -> np.ndarray:
        """The records of a schema."""
        return np.frombuffer(b"".join(one.record for one in self.taken if one.schema == schema), BY_WORD[schema].dtype)

    def quotes(self) -> list[tuple[object, ...]]:
        """As :class:`PlainBooks` has them."""
        return [
            (
                int(q["instrument_id"]),
                int(q["sequence"]),
                _side(q["bid_px"], q["bid_sz"], q["bid_ct"]),
                _side(q["ask_px"], q["ask_sz"], q["ask_ct"]),
                bool(q["flags"] & 4),
            )
            for q in self.of("quote")
        ]

    def trades(self) -> list[tuple[int, int, int, int, str]]:
        return [
            (
                int(t["instrument_id"]),
                int(t["sequence"]),
                int(t["price"]) // 100_000,
                int(t["size"]),
                t["side"].decode(),
            )
            for t in self.of("trade")
        ]


def _side(px: int, sz: int, ct: int) -> tuple[int, int, int] | None:
    return None if px == UNDEF_PRICE else (int(px) // 100_000, int(sz), int(ct))
