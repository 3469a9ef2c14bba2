"""A log whose records say what they are, and what an archive of it gives back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from struct import Struct
from typing import NamedTuple, Self

from feed.log.reader import LogReader
from feed.log.writer import LogWriter
from feed.store.reader import Block, StoreReader

FRAME = Struct("<IIQQQIHH")
RECORD, TOPIC, SOURCE_GAP = 0, 1, 2
SYMBOLS = ("AAPL", "BRK.B", "ES Z6", "^TICK", 'a"b{~}')


@cache
def record(seq: int, nbytes: int = 80) -> bytes:
    """The record that is number `seq` in every log of these tests."""
    return random.Random(seq).randbytes(nbytes)


class Frame(NamedTuple):
    topic_id: int
    seq: int
    topic_seq: int
    ts_in: int
    kind: int
    record: bytes


class Market:
    """A log, its writer, and a reader that stands at its beginning."""

    def __init__(self, directory: Path, log_bytes: int = 1 << 20) -> None:
        self.directory = directory
        self.log_bytes = log_bytes
        self.writer = self._open()
        self.reader = LogReader.open(directory, start="begin")
        self.topic_ids = [self.writer.topic("quote", symbol) for symbol in SYMBOLS]

    def _open(self) -> LogWriter:
        return LogWriter.open(self.directory, log_bytes=self.log_bytes, max_topics=64)

    @property
    def epoch(self) -> int:
        return self.writer.epoch

    @property
    def topics(self) -> list[tuple[int, str, str]]:
        return [(i, *self.reader.topic(i)) for i in range(self.reader.topic_count)]

    def tick(self, n: int = 1) -> None:
        """Commit `n` more records; their ts_in is 1,000 times their seq."""
        for _ in range(n):
            seq = self.writer.next_seq
            self.writer.publish(self.topic_ids[seq % len(self.topic_ids)], record(seq), ts_in=1000 * seq)

    def lap(self) -> None:
        """Overtake every reader that stands where the log is now."""
        tail = self.writer.position
        while self.reader.low <= tail:
            self.tick(50)

    def new_epoch(self) -> None:
        """The log is lost, and the feed begins another."""
        self.reader.close()
        self.writer.close(remove=True)
        self.__init__(self.directory, self.log_bytes)  # type: ignore[misc]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.reader.close()
        self.writer.close()


class Gone(NamedTuple):
    epoch: int
    first: int
    last: int
    cause: str


class Contents(NamedTuple):
    """All that a reader gave: records by (epoch, seq), and what it said is missing."""

    records: dict[tuple[int, int], bytes]
    missing: list[Gone]

    def seqs(self, epoch: int) -> list[int]:
        return [seq for e, seq in self.records if e == epoch]


def frames(block: Block) -> Iterator[Frame]:
    data = bytes(block.data)
    at = 0
    while at < len(data):
        length, topic_id, seq, topic_seq, ts_in, _, kind, _ = FRAME.unpack_from(data, at)
        yield Frame(topic_id, seq, topic_seq, ts_in, kind, data[at + FRAME.size : at + length])
        at += length


def blocks(reader: StoreReader) -> Iterator[Block]:
    while (block := reader.read_block()) is not None:
        yield block


def contents(folder: Path | StoreReader, **where: int) -> Contents:
    """Everything from a place on, proved: each record is what it should be, and in every epoch each seq from the first
    to the last was told of once, in order, as a record or as missing."""
    reader = folder if isinstance(folder, StoreReader) else StoreReader(folder, **where)
    found = Contents({}, [])
    place: dict[int, int] = {}
    for block in blocks(reader):
        expected = place.get(block.epoch, block.first_seq)
        assert block.first_seq == expected, f"{block.first_seq} after {expected - 1}"
        assert list(place)[-1:] in ([], [block.epoch]) or block.epoch > max(place), "an epoch went back"
        place[block.epoch] = block.last_seq + 1
        assert reader.next_seq == block.last_seq + 1
        if block.missing:
            assert block.count == 0 == len(block.data)
            assert block.first_seq <= block.last_seq
            found.missing.append(Gone(block.epoch, block.first_seq, block.last_seq, block.missing))
            continue
        held = list(frames(block))
        assert len(held) == block.count
        times = [frame.ts_in for frame in held if frame.kind == RECORD] or [0]
        assert (block.first_ns, block.last_ns) == (min(times), max(times))
        for frame in held:
            assert frame.seq == expected
            if frame.kind == RECORD:
                assert frame.record == record(frame.seq)
                assert reader.topic(frame.topic_id) == ("quote", SYMBOLS[frame.seq % len(SYMBOLS)])
                found.records[block.epoch, frame.seq] = frame.record
                expected += 1
        assert expected == block.last_seq + 1
    return found
