"""An archive to order, made as a feed makes it: ticks into a log, the log into segments."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from feed.log.reader import LogReader
from feed.log.writer import LogWriter
from feed.store.reader import StoreReader
from feed.store.writer import StoreWriter
from feed.wire.topics import topic

if TYPE_CHECKING:
    from collections.abc import Sequence

SEGMENT_BYTES = 1 << 16


class Tick(NamedTuple):
    """What goes in; also what comes out again, without ts_in."""

    schema: str
    symbol: str
    record: bytes
    ts_in: int = 0
    flags: int = 0


class Frame(NamedTuple):
    """What an archive holds: kind 0 is a record, 1 a topic."""

    kind: int
    name: str
    seq: int
    topic_seq: int
    flags: int
    record: bytes


class Recorder:
    """A log and its archive in `folder`; every one begins a new epoch."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._root = Path(tempfile.mkdtemp(prefix="tickcast-test-", dir="/dev/shm"))
        self.log = LogWriter.open(self._root / "feed", log_bytes=16 << 20, max_topics=4096)
        self._reader = LogReader.open(self._root / "feed", start="begin")
        self.store = StoreWriter(folder, segment_bytes=segment_bytes)
        self.store.begin(self.log.epoch, [])

    def put(self, ticks: Sequence[Tick]) -> None:
        """In batches of 100, each a block at least."""
        for i in range(0, max(1, len(ticks)), 100):
            for tick in ticks[i : i + 100]:
                topic_id = self.log.topic(tick.schema, tick.symbol)
                self.log.publish(topic_id, tick.record, tick.ts_in, tick.flags)
            while self.store.take(self._reader):
                pass

    def lose(self, n: int, cause: str) -> None:
        """The next `n` records never come to the archive: the next one that does has a seq beyond them."""
        first = self.log.next_seq
        topic_id = self.log.topic("trade", "LOST")
        while self.store.take(self._reader):
            pass
        for _ in range(n):
            self.log.publish(topic_id, bytes(48))
        self.store.missing(first, first + n - 1, cause)

    def close(self, *, seal: bool = True) -> None:
        if seal:
            self.store.seal()
        self.store.close()
        self._reader.close()
        self.log.close(remove=True)
        shutil.rmtree(self._root)


def record_archive(folder: Path, ticks: Sequence[Tick], *, segment_bytes: int = SEGMENT_BYTES) -> None:
    """An epoch of these ticks."""
    recorder = Recorder(folder, segment_bytes=segment_bytes)
    recorder.put(ticks)
    recorder.close()


def frames(folder: Path, *, epoch: int = 0, whole: bool = True) -> list[Frame]:
    """All that an archive holds, in its order, without times; `whole`: nothing may be missing."""
    found = []
    with StoreReader(folder, epoch=epoch) as reader:
        while (block := reader.read_block()) is not None:
            assert not (block.missing and whole), block.missing
            data, at = bytes(block.data), 0
            while at < len(data):
                length, topic_id = (int.from_bytes(data[at + i : at + i + 4], "little") for i in (0, 4))
                seq, topic_seq = (int.from_bytes(data[at + i : at + i + 8], "little") for i in (8, 16))
                kind, flags = (int.from_bytes(data[at + i : at + i + 2], "little") for i in (36, 38))
                name = topic(*reader.topic(topic_id)).decode().rstrip("|")
                found.append(Frame(kind, name, seq, topic_seq, flags, data[at + 40 : at + length]))
                at += length
    return found


def records(found: Sequence[Frame]) -> list[tuple[str, bytes]]:
    """(topic, record) of the frames that are records."""
    return [(frame.name, frame.record) for frame in found if frame.kind == 0]
