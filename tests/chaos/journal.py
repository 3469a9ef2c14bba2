"""What a bot was told, as it writes it down itself: entries of one size in a file, a file for each of its lives.

Entries are numpy records of DTYPE; the file is longer than what was written, and its rest is zeros. It is mapped, so
that an entry costs no system call, and yet survives a kill -9: the kernel has the pages, and what was stored is a
prefix of the program's stores, among which an entry's kind comes last. The names of topics stand, one a line, in a file
beside it, each there before its first entry.
"""

from __future__ import annotations

import mmap
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
        ("first", "<u8"),  # tick: topic_seq; gap: first topic_seq; live: epoch
        ("last", "<u8"),  # tick: seq; gap: last topic_seq; live: the log's next seq then
        ("topic", "<u4"),  # tick, gap: line of the file of topics, from 0
        ("crc", "<u4"),  # tick: CRC-32 of its record
        ("folded", "<u4"),  # tick: how many before it it stands for
        ("flags", "<u2"),  # tick: the wire's
        ("cause", "u1"),  # gap: index into CAUSE_WORDS
        ("kind", "u1"),  # below; 0: not written yet
    ]
)
TICK, GAP, LIVE, STALE, STOP = 1, 2, 3, 4, 5
CAUSE_WORDS = tuple(CAUSES)
GROW_BYTES = 16 << 20

_entry = struct.Struct("<QQIIIHBB")
assert _entry.size == DTYPE.itemsize == 32


class Journal:
    """The writing side."""

    def __init__(self, file: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        self._topics: dict[str, int] = {}
        self._names_fd = os.open(_names(file), flags, 0o644)
        self._fd = os.open(file, flags, 0o644)
        self._at = self._size = 0
        self._grow()

    def topic(self, name: str) -> int:
        known = self._topics.get(name)
        if known is None:
            known = self._topics[name] = len(self._topics)
            os.write(self._names_fd, f"{name}\n".encode())
        return known

    def tick(self, topic: int, topic_seq: int, seq: int, crc: int, flags: int, folded: int) -> None:
        if self._at == self._size:
            self._grow()
        _entry.pack_into(self._map, self._at, topic_seq, seq, topic, crc, folded, flags, 0, TICK)
        self._at += 32

    def gap(self, topic: str, first: int, last: int, cause: str) -> None:
        self._put(first, last, self.topic(topic), 0, 0, 0, CAUSE_WORDS.index(cause), GAP)

    def live(self, epoch: int, next_seq: int) -> None:
        self._put(epoch, next_seq, 0, 0, 0, 0, 0, LIVE)

    def note(self, kind: int) -> None:
        self._put(0, 0, 0, 0, 0, 0, 0, kind)

    def close(self) -> None:
        self._map.close()
        os.close(self._fd)
        os.close(self._names_fd)

    def _put(self, *entry: int) -> None:
        if self._at == self._size:
            self._grow()
        _entry.pack_into(self._map, self._at, *entry)
        self._at += 32

    def _grow(self) -> None:
        self._size += GROW_BYTES
        os.ftruncate(self._fd, self._size)
        self._map = mmap.mmap(self._fd, self._size)


@dataclass(frozen=True)
class Life:
    """One process of a bot, from its start to its end."""

    topics: list[str]
    entries: Entries

    @staticmethod
    def read(file: Path) -> Life:
        """What is there by now, of a bot that may still write."""
        entries = np.fromfile(file, DTYPE) if file.exists() else np.zeros(0, DTYPE)
        unwritten = np.flatnonzero(entries["kind"] == 0)
        names = _names(file)  # after the entries, for a name is there before them
        topics = names.read_text().splitlines() if names.exists() else []
        return Life(topics, entries[: unwritten[0]] if len(unwritten) else entries)

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
