"""Compressed segments: any zstd tool reads them, a reader sees no difference, a crash leaves the one or the other."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from struct import unpack, unpack_from

import pytest
import zstandard

from feed.errors import CallerError, StoreError
from feed.store.disk import Disk
from feed.store.folder import segments
from feed.store.seal import compress
from feed.store.segment import SegmentFile
from feed.store.writer import StoreWriter
from tests.store.archive import Market, contents


@pytest.fixture
def sealed(market: Market, folder: Path) -> Path:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        for _ in range(60):
            market.tick(300)
            writer.take(market.reader)
        writer.missing(18_001, 18_010, "on purpose")
        path = writer.seal()
        assert path is not None
        return path


def test_a_reader_sees_no_difference(sealed: Path) -> None:
    before = contents(sealed.parent)
    compress(sealed)
    assert [segment.compressed for segment in segments(sealed.parent)] == [True]
    assert contents(sealed.parent) == before
    assert len(before.records) == 18_000


def test_zstd_gives_back_a_sealed_segment(sealed: Path) -> None:
    before = contents(sealed.parent)
    packed = compress(sealed)
    with packed.open("rb") as f, zstandard.ZstdDecompressor().stream_reader(f, read_across_frames=True) as content:
        sealed.write_bytes(content.read())
    packed.unlink()
    assert SegmentFile(sealed, segments(sealed.parent)[0].epoch).sealed
    assert contents(sealed.parent) == before


def test_the_seek_table_is_as_the_format_says(sealed: Path) -> None:
    """zstd seekable format 0.1.0: a skippable frame at the end, sizes of each frame, a footer of 9 bytes."""
    data = compress(sealed).read_bytes()
    count, descriptor, magic = unpack("<IBI", data[-9:])
    assert (magic, descriptor) == (0x8F92EAB1, 0)
    start = len(data) - 9 - 8 * count - 8
    assert unpack_from("<II", data, start) == (0x184D2A5E, 8 * count + 9)
    at = 0
    for i in range(count):
        packed_bytes, content_bytes = unpack_from("<II", data, start + 8 + 8 * i)
        content = zstandard.ZstdDecompressor().decompress(data[at : at + packed_bytes])
        assert len(content) == content_bytes <= (1 << 20) + 64
        assert content[:4] == b"TBK1", "each zstd frame begins with a block"
        at += packed_bytes
    assert at == start
    assert count >= 4, "the table of topics, two of frames, one of a missing range, the index"


def test_only_what_is_sealed_is_compressed(market: Market, folder: Path) -> None:
    with StoreWriter(folder) as writer:
        writer.begin(market.epoch, market.topics)
        market.tick()
        writer.take(market.reader)
        assert writer.path is not None
        with pytest.raises(CallerError, match="sealed"):
            compress(writer.path)
        with pytest.raises(CallerError, match="name"):
            compress(folder / "lock")


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename"])
def test_a_disk_that_fails_leaves_the_sealed_one(sealed: Path, call: str) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = contents(sealed.parent)
    disk = Disk()
    setattr(disk, call, fail)
    with pytest.raises(StoreError, match="compress") as failed:
        compress(sealed, disk=disk)
    assert failed.value.full
    assert sorted(path.name for path in sealed.parent.iterdir()) == [sealed.name, "lock"]
    assert contents(sealed.parent) == before


def test_what_is_read_back_wrong_is_not_kept(sealed: Path) -> None:
    class Liar(Disk):
        def write(self, fd: int, offset: int, data: bytes | memoryview) -> int:
            return super().write(fd, offset, bytes(reversed(data)))

    before = contents(sealed.parent)
    with pytest.raises(StoreError, match="not what was written"):
        compress(sealed, disk=Liar())
    assert [segment.compressed for segment in segments(sealed.parent)] == [False]
    assert contents(sealed.parent) == before


def test_what_an_interrupted_compression_left_is_cleared_away(sealed: Path) -> None:
    plain = sealed.read_bytes()
    packed = compress(sealed)
    before = contents(sealed.parent)
    sealed.write_bytes(plain)
    unfinished = sealed.with_name(sealed.name + ".part.zst")
    unfinished.write_bytes(packed.read_bytes()[:1000])
    assert contents(sealed.parent) == before, "one that is there twice is read once"
    StoreWriter(sealed.parent).close()
    assert sorted(path.name for path in sealed.parent.iterdir()) == [packed.name, "lock"]
    assert contents(sealed.parent) == before


def test_a_damaged_seek_table_is_damage(sealed: Path) -> None:
    packed = compress(sealed)
    data = packed.read_bytes()
    for harm in (data[:-1], data[:-9], b"", data[:-5] + b"\xff" + data[-4:]):
        packed.write_bytes(harm)
        assert not contents(sealed.parent).records
    packed.write_bytes(data)
    assert len(contents(sealed.parent).records) == 18_000
