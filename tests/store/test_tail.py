"""A disk that is full or fails: what is told, what is kept, what is written again."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from feed.errors import StoreError
from feed.store.disk import Disk
from feed.store.folder import segments
from feed.store.reader import StoreReader
from feed.store.segment import SegmentFile
from feed.store.writer import StoreWriter
from tests.store.archive import Gone, Market, blocks, contents


class BadDisk(Disk):
    """Has `room` for so many bytes more; calls named in `broken` fail."""

    def __init__(self) -> None:
        self.room = 1 << 40
        self.broken: set[str] = set()
        self.synced: list[str] = []

    def _ask(self, call: str) -> None:
        if call in self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def create(self, path: Path) -> int:
        self._ask("create")
        return super().create(path)

    def write(self, fd: int, offset: int, data: bytes | memoryview) -> int:
        self._ask("write")
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(fd, offset, data[: self.room])
        self.room -= written
        return written

    def truncate(self, fd: int, nbytes: int) -> None:
        self._ask("truncate")
        super().truncate(fd, nbytes)

    def sync(self, fd: int) -> None:
        self._ask("sync")
        self.synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        super().sync(fd)

    def sync_folder(self, folder: Path) -> None:
        self._ask("sync_folder")
        self.synced.append("/")
        super().sync_folder(folder)

    def unlink(self, path: Path) -> None:
        self._ask("unlink")
        super().unlink(path)


@pytest.fixture
def disk() -> BadDisk:
    return BadDisk()


@pytest.fixture
def writer(market: Market, folder: Path, disk: BadDisk) -> StoreWriter:
    writer = StoreWriter(folder, segment_bytes=20_000, disk=disk)
    writer.begin(market.epoch, market.topics)
    return writer


def test_durable_is_what_was_synced_folder_included(
    market: Market, folder: Path, writer: StoreWriter, disk: BadDisk
) -> None:
    market.tick(10)
    writer.take(market.reader)
    disk.synced.clear()
    assert (writer.written_seq, writer.durable_seq) == (10, 0)
    assert writer.sync() == 10
    assert disk.synced == [segments(folder)[0].path.name, "/"]
    market.tick(5)
    writer.take(market.reader)
    assert (writer.written_seq, writer.durable_seq) == (15, 10)
    writer.sync()
    assert disk.synced[2:] == [segments(folder)[0].path.name], "no new entry, no second sync of the folder"
    writer.seal()
    market.tick(5)
    writer.take(market.reader)
    assert writer.sync() == 20
    assert disk.synced[3:] == [segment.path.name for segment in segments(folder)] + ["/"]


def test_a_full_disk_stops_the_archive_whole_and_it_goes_on_later(
    market: Market, folder: Path, writer: StoreWriter, disk: BadDisk
) -> None:
    market.tick(10)
    writer.take(market.reader)
    before = segments(folder)[0].path.stat().st_size
    for room in (0, 10, 64, 500):
        disk.room = room
        market.tick(10)
        with pytest.raises(StoreError, match="full") as full:
            writer.take(market.reader)
        assert full.value.full
        assert writer.next_seq == 11
        assert segments(folder)[0].path.stat().st_size == before
        assert contents(folder).seqs(market.epoch) == list(range(1, 11))
    disk.room = 1 << 40
    assert writer.take(market.reader) == 40
    assert contents(folder).seqs(market.epoch) == list(range(1, 51))


def test_what_a_full_disk_missed_is_recorded_as_such(
    market: Market, folder: Path, writer: StoreWriter, disk: BadDisk
) -> None:
    market.tick(10)
    writer.take(market.reader)
    disk.room = 100
    market.tick(1)
    with pytest.raises(StoreError):
        writer.take(market.reader)
    market.lap()
    with pytest.raises(StoreError):
        writer.take(market.reader)
    disk.room = 1 << 40
    writer.take(market.reader)
    (gone,) = contents(folder).missing
    assert (gone.first, gone.cause) == (11, "disk full")
    market.tick()
    market.lap()
    writer.take(market.reader)
    assert [gone.cause for gone in contents(folder).missing] == ["disk full", "overrun"]


@pytest.mark.parametrize("room", [0, 70, 600, 700])
def test_full_before_anything_is_written(
    market: Market, folder: Path, writer: StoreWriter, disk: BadDisk, room: int
) -> None:
    disk.room = room
    market.tick(10)
    with pytest.raises(StoreError):
        writer.take(market.reader)
    assert contents(folder).records == {}
    disk.room = 1 << 40
    writer.take(market.reader)
    assert contents(folder).seqs(market.epoch) == list(range(1, 11))
    assert len(segments(folder)) == 1


def test_full_at_a_turn(market: Market, folder: Path, writer: StoreWriter, disk: BadDisk) -> None:
    """The index of the old segment, the table of the new: wherever the room ends, the next take() goes on."""
    for room in range(0, 1500, 100):
        market.tick(170)
        writer.take(market.reader)
        disk.room = room
        market.tick(170)
        try:
            writer.take(market.reader)
        except StoreError:
            assert len(contents(folder).records) == writer.written_seq
        disk.room = 1 << 40
        writer.take(market.reader)
        assert contents(folder).seqs(market.epoch) == list(range(1, market.writer.next_seq))


@pytest.mark.parametrize("broken", [{"write"}, {"write", "truncate"}, {"create"}, {"unlink", "write", "truncate"}])
def test_a_failing_disk_loses_nothing_that_the_log_still_has(
    market: Market, folder: Path, writer: StoreWriter, disk: BadDisk, broken: set[str]
) -> None:
    for n in (3, 170, 5):
        disk.broken = broken
        market.tick(n)
        for _ in range(2):
            with suppress(StoreError):
                writer.take(market.reader)
        disk.broken = set()
        market.tick()
        writer.take(market.reader)
        assert contents(folder).seqs(market.epoch) == list(range(1, market.writer.next_seq))
        assert writer.sync() == writer.written_seq


@pytest.mark.parametrize("call", ["sync", "sync_folder"])
def test_after_a_sync_that_failed_nothing_is_taken_for_durable(
    market: Market, folder: Path, writer: StoreWriter, disk: BadDisk, call: str
) -> None:
    """The kernel says so once and then forgets (fsync on Linux): what was not durable is written again, elsewhere."""
    market.tick(10)
    writer.take(market.reader)
    writer.sync()
    first = segments(folder)[0].path
    inode, durable_bytes = first.stat().st_ino, first.stat().st_size
    market.tick(10)
    writer.take(market.reader)
    if call == "sync_folder":
        writer.seal()
        market.tick(10)
        writer.take(market.reader)
    live = StoreReader(folder)
    assert len(contents(live).records) == market.writer.next_seq - 1
    disk.broken = {call}
    with pytest.raises(StoreError, match="failed"):
        writer.sync()
    disk.broken = set()
    assert (writer.next_seq, writer.durable_seq) == (11, 10)
    assert writer.sync() == 10
    market.tick(10)
    writer.take(market.reader)
    assert writer.next_seq == market.writer.next_seq
    assert writer.durable_seq == 10
    assert first.stat().st_ino == inode
    assert first.stat().st_size == durable_bytes, "not one byte that was distrusted is left"
    assert writer.path != first
    assert writer.sync() == writer.written_seq
    assert contents(folder).seqs(market.epoch) == list(range(1, market.writer.next_seq))
    assert contents(live).seqs(market.epoch) == list(range(market.writer.next_seq - 10, market.writer.next_seq))


def test_a_first_sync_that_fails(market: Market, folder: Path, writer: StoreWriter, disk: BadDisk) -> None:
    market.tick(10)
    writer.take(market.reader)
    live = StoreReader(folder)
    assert len(contents(live).records) == 10
    disk.broken = {"sync"}
    with pytest.raises(StoreError):
        writer.sync()
    disk.broken = set()
    assert (writer.next_seq, writer.durable_seq) == (1, 0)
    market.tick(5)
    writer.take(market.reader)
    assert contents(folder).seqs(market.epoch) == list(range(1, 16))
    assert contents(live).seqs(market.epoch) == [11, 12, 13, 14, 15]
    assert writer.sync() == 15


def test_what_the_log_lost_after_a_sync_that_failed_is_missing(
    market: Market, folder: Path, writer: StoreWriter, disk: BadDisk
) -> None:
    market.tick(10)
    writer.take(market.reader)
    writer.sync()
    market.tick(10)
    writer.take(market.reader)
    disk.broken = {"sync"}
    with pytest.raises(StoreError):
        writer.sync()
    disk.broken = set()
    market.lap()
    writer.take(market.reader)
    (gone,) = contents(folder).missing
    assert (gone.first, gone.cause) == (11, "disk error")


def test_a_sync_that_fails_in_another_thread_is_settled_by_the_writer(
    market: Market, folder: Path, writer: StoreWriter, disk: BadDisk
) -> None:
    market.tick(10)
    writer.take(market.reader)
    disk.broken = {"sync"}
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(StoreError):
            pool.submit(writer.sync).result()
        disk.broken = set()
        assert pool.submit(writer.sync).result() == 0, "nothing is durable until the writer has gone back"
    assert writer.next_seq == 11
    market.tick(1)
    assert writer.take(market.reader) == 16
    assert writer.sync() == 11
    assert contents(folder).seqs(market.epoch) == list(range(1, 12))


@pytest.mark.parametrize("call", ["sync", "sync_folder", "write", "unlink"])
def test_a_recovery_that_fails_can_be_tried_again(market: Market, folder: Path, disk: BadDisk, call: str) -> None:
    old = market.epoch
    with StoreWriter(folder, segment_bytes=2_000) as writer:
        writer.begin(market.epoch, market.topics)
        for n in (10, 10, 10):
            market.tick(n)
            writer.take(market.reader)
    with segments(folder)[-1].path.open("ab") as f:
        f.write(b"torn")
    market.new_epoch()
    market.tick(3)
    with StoreWriter(folder, disk=disk) as writer:
        for _ in range(2):
            disk.broken = {call}
            try:
                writer.begin(market.epoch, market.topics)
            except StoreError:
                assert writer.epoch == 0
        disk.broken = set()
        writer.begin(market.epoch, market.topics)
        writer.take(market.reader)
        found = contents(folder)
        assert found.seqs(old) == list(range(1, 31))
        assert found.seqs(market.epoch) == [1, 2, 3]
        assert not found.missing


def test_an_epoch_that_cannot_be_ended_well_is_left_as_it_is(
    market: Market, folder: Path, writer: StoreWriter, disk: BadDisk
) -> None:
    old = market.epoch
    market.tick(10)
    writer.take(market.reader)
    market.new_epoch()
    market.tick(2)
    disk.broken = {"sync"}
    with pytest.raises(StoreError):
        writer.begin(market.epoch, market.topics)
    disk.broken = set()
    writer.begin(market.epoch, market.topics)
    writer.take(market.reader)
    assert contents(folder).seqs(old) == list(range(1, 11)), "nobody could write it again"
    assert contents(folder).seqs(market.epoch) == [1, 2]


def test_closing_says_that_the_disk_failed_and_frees_the_folder(
    market: Market, folder: Path, writer: StoreWriter, disk: BadDisk
) -> None:
    market.tick(10)
    writer.take(market.reader)
    disk.broken = {"sync"}
    with pytest.raises(StoreError):
        writer.close()
    writer.close()
    StoreWriter(folder).close()


@pytest.mark.parametrize("keep", [0, 1, 63, 64, 500, 1000])
def test_a_torn_tail_is_cut_and_said(market: Market, folder: Path, keep: int) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        market.tick(10)
        writer.take(market.reader)
        assert writer.path is not None
        path, whole = writer.path, writer.path.stat().st_size
        market.tick(10)
        writer.take(market.reader)
    os.truncate(path, whole + keep)
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        assert writer.cut == ([(path, keep)] if keep else [])
        assert path.stat().st_size == whole
        assert (writer.next_seq, writer.durable_seq) == (11, 10)
        writer.take(market.reader)
        assert contents(folder).seqs(market.epoch) == list(range(1, 21))


def test_segments_left_open_are_sealed(market: Market, folder: Path) -> None:
    epochs = []
    for _ in range(3):
        epochs.append(market.epoch)
        with StoreWriter(folder) as writer:
            writer.begin(market.epoch, market.topics)
            market.tick(4)
            writer.take(market.reader)
        market.new_epoch()
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        assert writer.next_seq == 0
        assert {path.name for path in folder.iterdir()} == {"lock"} | {
            segment.path.name for segment in segments(folder)
        }
        for epoch in epochs:
            assert contents(folder).seqs(epoch) == [1, 2, 3, 4]
        assert all(SegmentFile(segment.path, segment.epoch).sealed for segment in segments(folder))


def test_what_is_damaged_in_the_middle_stays_reported(market: Market, folder: Path) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        for _ in range(3):
            market.tick(10)
            writer.take(market.reader)
            assert writer.path is not None
            path, end = writer.path, writer.path.stat().st_size
    data = bytearray(path.read_bytes())
    data[end - 1500] ^= 1
    path.write_bytes(data)
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        assert (writer.cut, writer.next_seq) == ([], 31)
        market.tick(10)
        writer.take(market.reader)
        writer.seal()
    found = contents(folder)
    assert found.missing == [Gone(market.epoch, 11, 20, "damage")]
    assert found.seqs(market.epoch) == [*range(1, 11), *range(21, 41)]
    assert len(list(blocks(StoreReader(folder, seq=11)))) == 2
