"""What was published, by the archive: for each topic every tick with its place and a sum of its record."""

from __future__ import annotations

import struct
import zlib
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from feed.store.reader import StoreReader
from feed.wire.records import BY_WORD

__all__ = ["TopicTruth", "Truth", "reached", "read"]

_frame = struct.Struct("<IIQQQIHH")  # feed/log/layout.h: tc_log_frame
RECORD = 0
HEADER = 40


@dataclass(frozen=True)
class TopicTruth:
    """Ticks of one topic, consecutive from topic_seq `first` on."""

    first: int
    seqs: npt.NDArray[np.uint64]
    crcs: npt.NDArray[np.uint32]

    @property
    def last(self) -> int:
        return self.first + len(self.seqs) - 1


@dataclass
class Truth:
    """`until`: it holds all with a lower seq. `missing`: what the archive says it does not have, (first, last, why)."""

    topics: dict[str, TopicTruth] = field(default_factory=dict)
    epoch: int = 0
    until: int = 1
    missing: list[tuple[int, int, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Where the archive contradicts itself."""

    @property
    def ticks(self) -> int:
        return sum(len(topic.seqs) for topic in self.topics.values())


def read(folder: Path, until: int) -> Truth:
    """The archive's ticks below seq `until`, or as many as it has."""
    truth = Truth()
    rows: dict[int, _Row] = {}
    with StoreReader(folder) as reader:
        while truth.until < until and (block := reader.read_block()) is not None:
            if truth.epoch not in {0, block.epoch}:
                truth.faults.append(f"another epoch, {block.epoch}")
                break
            truth.epoch = block.epoch
            if block.first_seq != truth.until:
                truth.faults.append(f"seq {block.first_seq} follows {truth.until - 1}")
            truth.until = min(until, block.last_seq + 1)
            if block.missing:
                truth.missing.append((block.first_seq, block.last_seq, block.missing))
                continue
            _take(bytes(block.data), until, rows, reader)
    for row in rows.values():
        topic_seqs = np.frombuffer(row.topic_seqs, np.uint64)
        if len(topic_seqs) != topic_seqs[-1] - topic_seqs[0] + 1 or np.any(np.diff(topic_seqs) != 1):
            truth.faults.append(f"{row.name}: its topic_seqs are not consecutive")
        seqs, crcs = np.frombuffer(row.seqs, np.uint64), np.frombuffer(row.crcs, np.uint32)
        truth.topics[row.name] = TopicTruth(int(topic_seqs[0]), seqs, crcs)
    return truth


class _Row:
    """The ticks of a topic, as they are read."""

    def __init__(self, schema: str, symbol: str) -> None:
        self.name = f"{schema}.{symbol}"
        self.record_bytes = BY_WORD[schema].record_bytes
        self.topic_seqs, self.seqs, self.crcs = array("Q"), array("Q"), array("I")


def _take(data: bytes, until: int, rows: dict[int, _Row], reader: StoreReader) -> None:
    at = 0
    while at < len(data):
        length, topic_id, seq, topic_seq, _, _, kind, _ = _frame.unpack_from(data, at)
        if kind == RECORD and seq < until:
            row = rows.get(topic_id)
            if row is None:
                row = rows[topic_id] = _Row(*reader.topic(topic_id))
            row.topic_seqs.append(topic_seq)
            row.seqs.append(seq)
            row.crcs.append(zlib.crc32(data[at + HEADER : at + HEADER + row.record_bytes]))
        at += length


def reached(folder: Path) -> int:
    """The seq up to which the archive has come."""
    with StoreReader(folder) as reader:
        return max((epoch.last_seq for epoch in reader.epochs()), default=0)
