# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Taking up an archive that was left, whether by its writer or by a crash.

A segment with its index at the end is sealed and believed. Any other is read through: what follows its last whole block is
cut; what is not whole before that is left to readers, who report it. Then the last one of the epoch is written on, and the
others are sealed. Nothing that a sync had covered is cut: it is whole, and what lies before it in its file is whole too.
"""

import os
from pathlib import Path
from typing import NamedTuple

from libc.stdint cimport UINT64_MAX, uint64_t

from feed.store.index cimport SparseIndex
from feed.store.layout cimport TC_BLOCK_FRAMES, TC_BLOCK_HEADER, TC_BLOCK_TOPICS, tc_block
from feed.store.segment cimport BLOCK_ROOM, SegmentFile
from feed.store.tail cimport Tail

from feed.store.disk import Disk
from feed.store.folder import UNFINISHED, segments
from feed.store.tail import write_whole


class Cut(NamedTuple):
    """What was cut off: the last `bytes` of `file` were no whole block."""

    file: Path
    bytes: int


def tidy(folder: Path, disk: Disk) -> None:
    for path in folder.glob(f"*{UNFINISHED}"):
        disk.unlink(path)
    for segment in segments(folder):
        if segment.compressed and segment.path.with_suffix("").exists():
            disk.unlink(segment.path.with_suffix(""))


def recover(Tail tail not None, epoch: int, *, doubted: bool) -> list[Cut]:
    cdef SegmentFile file
    cuts = []
    there = [segment for segment in segments(tail.folder) if not segment.compressed]
    own = [segment for segment in there if segment.epoch == epoch]
    last = own.pop() if own else None
    last_but_one = own.pop() if own else None
    for segment in sorted(there, key=lambda segment: segment is last):
        file = SegmentFile(segment.path, segment.epoch)
        if doubted:
            _write_again(tail.disk, file)
        if not file.sealed:
            tail.topics.clear()
            if _reopen(tail, file, cuts) and segment is not last:
                tail.append_index()
        elif segment is last or segment is last_but_one:
            # It may have been sealed and not synced.
            tail._ended.append((segment.path, tail.disk.open(segment.path), segment.first_seq, 0))
    if tail.fd >= 0:
        tail.next_seq = tail.index.last_seq + 1
    else:
        tail.topics.clear()
        for segment in segments(tail.folder):
            if segment.epoch == epoch:
                file = SegmentFile(segment.path, epoch)
                file.learn_before(UINT64_MAX, tail.topics)
                tail.next_seq = file.index.last_seq + 1
    tail._folder_changed = True
    tail.sync_files()
    tail.safe()
    tail.epoch = epoch
    return cuts


cdef bint _reopen(Tail tail, SegmentFile file, list cuts) except -1:
    """Make this the open segment, without what is torn at its end; false: no record was left, and it is removed."""
    cdef const tc_block* head = <const tc_block*>file.scratch
    cdef SparseIndex index = SparseIndex()
    cdef uint64_t nbytes, offset = 0, held_bytes = 0, size = file.content.size()
    while True:
        nbytes = file.run(offset, file.scratch, 0)
        if nbytes == 0:
            offset = file.next_whole(offset)
            if offset == UINT64_MAX:
                break
            continue
        # Nobody knows what frames without their table are; had anything here been synced, it would be whole.
        if index.end == 0 and (offset or head.kind != TC_BLOCK_TOPICS):
            break
        index.add(head, offset)
        tail.topics.learn(head, file.scratch + TC_BLOCK_HEADER)
        if head.kind == TC_BLOCK_FRAMES:
            held_bytes += head.nbytes
        offset += nbytes
    if index.end < size:
        cuts.append(Cut(file.path, size - index.end))
    if index.end == 0 or index.last_seq < index.first_seq:
        tail.disk.unlink(file.path)
        return False
    tail.fd = tail.disk.open(file.path)
    tail.path = file.path
    tail.index = index
    tail.held_bytes = held_bytes
    tail._safe_end = 0
    if index.end < size:
        tail.disk.truncate(tail.fd, index.end)
    return True


def _write_again(disk: Disk, file: SegmentFile) -> None:
    """What a sync could not write the kernel takes for written: make it dirty once more."""
    fd = disk.open(file.path)
    try:
        for offset in range(0, os.fstat(fd).st_size, BLOCK_ROOM):
            write_whole(disk, fd, offset, os.pread(fd, BLOCK_ROOM, offset))
    finally:
        disk.close(fd)
