"""A sealed segment into the zstd seekable format, so that it takes less room and can still be read from any place.

Each zstd frame holds one block of about 1 MiB, the last one the index; the seek table in a skippable frame behind them
says where each begins. Any zstd tool unpacks the file, and what comes out is a sealed segment.
"""

from __future__ import annotations

from contextlib import suppress
from struct import pack
from typing import TYPE_CHECKING

import zstandard

from feed.errors import CallerError, StoreError
from feed.store.content import SEEKABLE_MAGIC, SKIPPABLE_MAGIC
from feed.store.disk import Disk, is_full
from feed.store.folder import COMPRESSED, UNFINISHED, named
from feed.store.index import SparseIndex
from feed.store.segment import SegmentFile
from feed.store.tail import write_whole

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["compress"]

LEVEL = 3


def compress(path: Path, *, disk: Disk | None = None) -> Path:
    """Put a compressed segment in the place of a sealed one; gives its path. Only for who holds the folder.

    A crash leaves the one or the other, or both, which are the same to a reader. The sealed one is removed only after
    the compressed one was read back and synced.

    :raises CallerError: the segment is not sealed.
    :raises StoreError: the disk is full or failed, or what was read back is not what was written.
    """
    disk = disk or Disk()
    plain = SegmentFile(path, named(path).epoch)
    if not plain.sealed:
        raise CallerError("only a sealed segment can be compressed", where=str(path))
    unfinished = path.with_name(path.name + UNFINISHED)
    packed = path.with_name(path.name + COMPRESSED)
    try:
        headers = _write(plain, unfinished, disk)
        if [block[:64] for block in SegmentFile(unfinished, plain.epoch).blocks()] != headers:
            raise StoreError("a compressed segment is not what was written", where=str(unfinished))
        disk.rename(unfinished, packed)
        disk.sync_folder(path.parent)
        disk.unlink(path)
    except (OSError, StoreError) as e:
        with suppress(OSError):
            disk.unlink(unfinished)
        if isinstance(e, StoreError):
            raise
        raise StoreError("cannot compress a segment", full=is_full(e), found=e.strerror, where=str(path)) from e
    finally:
        plain.close()
    return packed


def _write(plain: SegmentFile, to: Path, disk: Disk) -> list[bytes]:
    """Write and sync the compressed file; gives the headers of its blocks, whose sums stand for the blocks."""
    zstd = zstandard.ZstdCompressor(level=LEVEL)
    index = SparseIndex()
    headers: list[bytes] = []
    table: list[bytes] = []
    end = 0
    fd = disk.create(to)
    try:
        for block in plain.blocks():
            frame = zstd.compress(block)
            write_whole(disk, fd, end, frame)
            end += len(frame)
            table.append(pack("<II", len(frame), len(block)))
            index.note(block)
            headers.append(block[:64])
        last = index.to_block()
        frame = zstd.compress(last)
        table.append(pack("<II", len(frame), len(last)))
        entries = b"".join(table)
        footer = pack("<IBI", len(table), 0, SEEKABLE_MAGIC)
        tail = frame + pack("<II", SKIPPABLE_MAGIC, len(entries) + len(footer)) + entries + footer
        write_whole(disk, fd, end, tail)
        disk.sync(fd)
    finally:
        disk.close(fd)
    return headers
