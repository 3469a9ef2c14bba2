"""What a bot was told, as it writes it down itself: entries of one size in a file, a file for each of its lives.

Entries are numpy records of DTYPE. The names of topics stand, one a line, in a file beside it, each there before its
first entry. Every entry is with the kernel before the bot takes the next tick, so a kill -9 costs none.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bots.gap import CAUSES

__all__ = ["CAUSE_WORDS", "DTYPE", "GAP", "LIVE", "STALE", "STOP", "TICK", "Entries", "Journal", "Life"]

Entries = npt.NDArray[Any]

DTYPE = np.dtype(
    [
        ("kind", "u1"),  # below
        ("cause", "u1"),  # gap: index into CAUSE_WORDS
        ("flags", "<u2"),  # tick: the wire's
        ("topic", "<u4"),  # tick, gap: line of the file of topics, from 0
        ("first", "<u8"),  # tick: topic_seq; gap: first topic_seq; live: epoch
        ("last", "<u8"),  # tick: seq; gap: last topic_seq; live: the log's next seq then
        ("crc", "<u4"),  # tick: CRC-32 of its record
        ("folded", "<u4"),  # tick: how many before it it stands for
    ]
)
TICK, GAP, LIVE, STALE, STOP = 1, 2, 3, 4, 5
CAUSE_WORDS = tuple(CAUSES)

_entry = struct.Struct("<BBHIQQII")
assert _entry.size == DTYPE.itemsize == 32


class Journal:
    """The writing side."""

    def __init__(self, file: Path) -> None:
        mode = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        self._topics: dict[str, int] = {}
        self._names_fd = os.open(_names(file), mode, 0o644)
        self._fd = os.open(file, mode, 0o644)

    def topic(self, name: str) -> int:
        known = self._topics.get(name)
        if known is None:
            known = self._topics[name] = len(self._topics)
            os.write(self._names_fd, f"{name}\n".encode())
        return known

    def tick(self, topic: int, topic_seq: int, seq: int, crc: int, flags: int, folded: int) -> None:
        os.write(self._fd, _entry.pack(TICK, 0, flags, topic, topic_seq, seq, crc, folded))

    def gap(self, topic: str, first: int, last: int, cause: str) -> None:
        os.write(self._fd, _entry.pack(GAP, CAUSE_WORDS.index(cause), 0, self.topic(topic), first, last, 0, 0))

    def live(self, epoch: int, next_seq: int) -> None:
        os.write(self._fd, _entry.pack(LIVE, 0, 0, 0, epoch, next_seq, 0, 0))

    def note(self, kind: int) -> None:
        os.write(self._fd, _entry.pack(kind, 0, 0, 0, 0, 0, 0, 0))

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._names_fd)


@dataclass(frozen=True)
class Life:
    """One process of a bot, from its start to its end."""

    topics: list[str]
    entries: Entries

    @staticmethod
    def read(file: Path) -> Life:
        """What is there by now, of a bot that may still write."""
        data = file.read_bytes() if file.exists() else b""
        names = _names(file)
        topics = names.read_text().splitlines() if names.exists() else []
        return Life(topics, np.frombuffer(data, DTYPE, len(data) // DTYPE.itemsize))

    def of(self, kind: int) -> Entries:
        found: Entries = self.entries[self.entries["kind"] == kind]
        return found

    @property
    def live_seq(self) -> int | None:
        """From which seq on it must get everything; None: it never became live."""
        live = self.of(LIVE)
        return int(live["last"][0]) if len(live) else None


def _names(file: Path) -> Path:
    return file.with_name(f"{file.name}.topics")
