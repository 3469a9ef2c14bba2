# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The end of an archive: the open segment, the blocks that are written behind one another there, and what is durable.

A block is written where the last one ended, and taken back if it can't be written wholly. `next_seq` moves when it is written,
`durable_seq` when it was synced. At most two segments are unsynced at any time: the open one and the one before.

One thread writes; sync() may be called by another. A sync that fails says so once: the kernel then takes for written what it
dropped. So what was not durable before is left for good, by the thread that writes.
"""

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from feed.store.block cimport block_close
from feed.store.layout cimport TC_BLOCK_FRAMES, TC_BLOCK_HEADER, tc_block

from feed.errors import StoreError
from feed.store.disk import Disk, is_full
from feed.store.folder import COMPRESSED, name

DISK_FULL = "disk full"
DISK_ERROR = "disk error"


cdef class Tail:
    def __init__(self, folder: Path, segment_bytes: int, disk: Disk) -> None:
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.disk = disk
        self.fd = -1
        self.topics = TopicTable()
        self.trouble = ""
        self._ended = []
        self._turning = threading.RLock()

    # --- blocks -----------------------------------------------------------------------------------------------------

    cdef int put(self, uint8_t* block) except -1:
        cdef tc_block* head = <tc_block*>block
        if self.fd >= 0 and self.held_bytes >= self.segment_bytes:
            self.seal()
        if self.fd < 0:
            self._create(head.first_seq)
        head.epoch = self.epoch
        with nogil:
            block_close(head, block + TC_BLOCK_HEADER)
        self.append(block)
        self.topics.learn(head, block + TC_BLOCK_HEADER)
        if head.kind == TC_BLOCK_FRAMES:
            self.held_bytes += head.nbytes
        if self._safe_next == 0:
            self._safe_next = head.first_seq
        self.next_seq = head.last_seq + 1
        self.trouble = ""
        return 0

    cdef int append(self, const uint8_t* block) except -1:
        """Write a whole block to the end of the open segment."""
        cdef const tc_block* head = <const tc_block*>block
        try:
            write_whole(self.disk, self.fd, self.index.end, PyMemoryView_FromMemory(<char*>block, TC_BLOCK_HEADER + head.nbytes, PyBUF_READ))
        except OSError as e:
            try:
                self.disk.truncate(self.fd, self.index.end)
            except OSError:
                self.end_segment()
            raise self.failed(e) from e
        self.index.add(head, self.index.end)
        return 0

    def announce(self, topics: list[tuple[int, str, str]]) -> None:
        cdef TopicTable fresh = TopicTable()
        for topic_id, schema, symbol in topics:
            if self.topics.add(topic_id, schema, symbol):
                fresh.add(topic_id, schema, symbol)
        if self.fd >= 0 and fresh.count:
            for block in fresh.to_blocks(self.epoch, self.next_seq):
                self.append(<const uint8_t*><const char*>block)

    # --- segments ---------------------------------------------------------------------------------------------------

    def seal(self) -> Path | None:
        if self.fd < 0 or self.index.last_seq < self.index.first_seq:
            return None
        if self._ended:
            self.sync()
        path = self.path
        self.append_index()
        return path

    def append_index(self) -> None:
        block = self.index.to_block()
        self.append(<const uint8_t*><const char*>block)
        self.end_segment()

    def end_segment(self) -> None:
        with self._turning:
            if self.fd >= 0:
                self._ended.append((self.path, self.fd, self.index.first_seq, self._safe_end))
                self.path = None
                self.fd = -1

    def _create(self, first_seq: int) -> None:
        """Begin a segment with the table of all topics."""
        path = self.folder / name(self.epoch, first_seq)
        with self._turning:
            try:
                # One that was left before a record was in it.
                if path.exists():
                    self.disk.unlink(path)
                self.fd = self.disk.create(path)
            except OSError as e:
                raise self.failed(e) from e
            self.path = path
            self.index = SparseIndex()
            self.held_bytes = self._safe_end = 0
            self._folder_changed = True
        try:
            for block in self.topics.to_blocks(self.epoch, first_seq):
                self.append(<const uint8_t*><const char*>block)
        except StoreError:
            self.end_segment()
            _, fd, _, _ = self._ended.pop()
            self.disk.close(fd)
            with suppress(OSError):
                self.disk.unlink(path)
            raise

    # --- durability -------------------------------------------------------------------------------------------------

    def sync(self) -> int:
        with self._turning:
            if self.distrusted:
                return self.durable_seq
            next_seq = self.next_seq
            end = self.index.end if self.fd >= 0 else 0
            try:
                self.sync_files()
            except OSError as e:
                self.distrusted = True
                if threading.get_ident() == self._owner:
                    self.settle()
                raise self.failed(e) from e
            self._safe_next = next_seq
            self._safe_end = end
            self.durable_seq = next_seq - 1 if next_seq else 0
            return self.durable_seq

    def sync_files(self) -> None:
        for _, fd, _, _ in self._ended:
            self.disk.sync(fd)
        if self.fd >= 0:
            self.disk.sync(self.fd)
        if self._folder_changed:
            self.disk.sync_folder(self.folder)
        self._folder_changed = False
        for _, fd, _, _ in self._ended:
            self.disk.close(fd)
        del self._ended[:]

    def safe(self) -> None:
        self._safe_next = self.next_seq
        self._safe_end = self.index.end if self.fd >= 0 else 0
        self.durable_seq = self.next_seq - 1 if self.next_seq else 0

    def settle(self) -> None:
        self._owner = threading.get_ident()
        if not self.distrusted:
            return
        with self._turning:
            self.end_segment()
            try:
                while self._ended:
                    path, fd, first_seq, safe_end = self._ended[len(self._ended) - 1]
                    if first_seq < self._safe_next:
                        self.disk.truncate(fd, safe_end)
                    else:
                        # It may have been compressed meanwhile; a segment of its name would stand in its shadow.
                        for there in (path, path.with_name(path.name + COMPRESSED)):
                            if there.exists():
                                self.disk.unlink(there)
                    self.disk.close(fd)
                    del self._ended[len(self._ended) - 1]
            except OSError as e:
                raise self.failed(e) from e
            if self.topics.count:
                memset(self.topics.topic_seqs, 0, self.topics.count * sizeof(uint64_t))
            self.next_seq = self._safe_next
            self._folder_changed = True
            self.distrusted = False
            self.trouble = DISK_ERROR

    def finish(self) -> None:
        self._owner = threading.get_ident()
        if self.epoch and not self.distrusted:
            if self.fd >= 0:
                self.append_index()
            self.sync_files()
        self.leave()

    def leave(self) -> None:
        self.end_segment()
        for _, fd, _, _ in self._ended:
            self.disk.close(fd)
        del self._ended[:]
        self.topics.clear()
        self.epoch = self.next_seq = self.durable_seq = self._safe_next = 0
        self.distrusted = False
        self.trouble = ""

    def failed(self, e: OSError) -> StoreError:
        full = is_full(e)
        self.trouble = DISK_FULL if full else DISK_ERROR
        return StoreError(
            "the archive's disk is full" if full else "the archive's disk failed",
            full=full,
            found=e.strerror,
            where=str(self.folder),
            remedy="Make room there: the archive goes on by itself, and says what it missed" if full else "See the kernel's log (dmesg)",
        )


def write_whole(disk: Disk, fd: int, offset: int, data: bytes | memoryview) -> None:
    """Write all of it; raises OSError."""
    done = 0
    while done < len(data):
        written = disk.write(fd, offset + done, data[done:] if done else data)
        if written == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done += written
