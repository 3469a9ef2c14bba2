# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The writer of an archive: frames out of the log, as blocks, to the end of the open segment.

What waits in the log is copied into a block of its own, and only a copy that proved whole is summed and written: nothing that
has a right sum is wrong, whatever the writer of the log did meanwhile. A block is written where the last one ended; `next_seq`
moves when it is written, `durable_seq` when it was synced.
"""

import errno
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from feed.log.layout cimport TC_KIND_RECORD, TC_KIND_TOPIC, tc_log_frame
from feed.log.reader cimport FRAME_MAX, LogReader
from feed.store.block cimport block_close
from feed.store.layout cimport (
    TC_BLOCK_FRAMES,
    TC_BLOCK_HEADER,
    TC_BLOCK_MISSING,
    TC_BLOCK_NAMES_TOPICS,
    TC_BLOCK_TOPICS,
    TC_CAUSE_BYTES,
    tc_block,
)
from feed.store.segment cimport BLOCK_ROOM, RUN_BYTES, SegmentFile

from feed.errors import CallerError, StoreError
from feed.store.disk import Disk
from feed.store.folder import UNFINISHED, hold, name, segments

OVERRUN = "overrun"
DISK_FULL = "disk full"
DISK_ERROR = "disk error"


class Cut(NamedTuple):
    """What begin() cut off: the last `bytes` of `file` were no whole block."""

    file: Path
    bytes: int


cdef class StoreWriter:
    def __cinit__(self) -> None:
        self._fd = -1
        self._memory = <uint8_t*>malloc(BLOCK_ROOM)
        if self._memory == NULL:
            raise MemoryError

    def __init__(self, folder: Path, *, segment_bytes: int = 256 << 20, disk: Disk | None = None) -> None:
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self._turning = threading.RLock()
        self._topics = TopicTable()
        self._ended = []
        self._trouble = ""
        self.cut = []
        try:
            if not folder.is_dir():
                folder.mkdir(mode=0o750, parents=True, exist_ok=True)
                self._disk.sync_folder(folder.parent)
            self._lock = hold(folder)
            self._tidy()
        except OSError as e:
            self._free()
            raise StoreError("cannot write an archive here", found=e.strerror, where=str(folder)) from e

    def __dealloc__(self) -> None:
        free(self._memory)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._lock is None:
            return
        try:
            if not self._distrusted:
                self.sync()
        finally:
            self._leave()
            self._free()

    @property
    def written_seq(self) -> int:
        return self.next_seq - 1 if self.next_seq else 0

    @property
    def path(self) -> Path | None:
        return self._path

    # --- appending --------------------------------------------------------------------------------------------------

    def take(self, LogReader reader not None, limit: int = 1 << 16) -> int:
        cdef uint64_t most = limit, taken = 0, at
        cdef uint32_t frames
        self._settle()
        if self.epoch == 0 or reader.header == NULL or reader.header.epoch != self.epoch:
            raise CallerError("this log is of another epoch", expected=f"{self.epoch}, as begin() said", found=reader.header.epoch if reader.header != NULL else "none: closed")
        while taken < most and self._lead(reader):
            at = reader.at
            with nogil:
                frames = self._gather(reader, most - taken)
            if frames == 0:
                continue
            try:
                self._put()
            except BaseException:
                reader.at = at
                reader.seq = self.next_seq
                raise
            reader.seq = self.next_seq
            taken += frames
        reader.report()
        return taken

    def missing(self, first: int, last: int, cause: str) -> None:
        self._settle()
        text = cause.encode("ascii", "replace")
        if self.epoch == 0 or not 1 <= first <= last or (self.next_seq and <uint64_t>first != self.next_seq):
            raise CallerError("no range that can be missing here", expected=f"from {self.next_seq} on", found=f"{first} to {last}")
        if not 1 <= len(text) < TC_CAUSE_BYTES or not cause.isprintable():
            raise CallerError("no cause", expected=f"1 to {TC_CAUSE_BYTES - 1} printable ASCII characters", found=repr(cause))
        self._put_missing(first, last, text)

    cdef bint _lead(self, LogReader reader) except -1:
        """Bring the reader to `next_seq`, recording what is no longer there; false: nothing is waiting."""
        cdef const tc_log_frame* frame
        cdef uint64_t seq
        cdef bint sought = False
        while True:
            frame = reader.peek()
            seq = frame.seq if frame != NULL else reader.seq
            if not reader.intact(reader.at):
                reader.overtaken(self.next_seq)
            elif self.next_seq == 0 or seq == self.next_seq:
                return frame != NULL
            elif not sought:
                sought = True
                reader.seek_seq(self.next_seq)
            elif frame == NULL or seq < self.next_seq:
                return False
            else:
                self._put_missing(self.next_seq, seq - 1, (self._trouble or OVERRUN).encode())
                return True

    cdef uint32_t _gather(self, LogReader reader, uint64_t limit) noexcept nogil:
        """Copy whole frames into the block that is being made and describe them; how many. 0: overtaken while copying."""
        cdef uint8_t* payload = self._memory + TC_BLOCK_HEADER
        cdef const tc_log_frame* frame
        cdef const uint8_t* run = NULL
        cdef uint64_t run_at = 0
        cdef uint32_t run_bytes = 0, nbytes = 0, frames = 0
        while True:
            frame = reader.peek() if frames < limit and nbytes + run_bytes + FRAME_MAX <= RUN_BYTES else NULL
            if run_bytes and <const uint8_t*>frame != run + run_bytes:
                memcpy(payload + nbytes, run, run_bytes)
                if not reader.intact(run_at):
                    reader.at = run_at
                    break
                nbytes += run_bytes
                run_bytes = 0
            if frame == NULL:
                break
            if run_bytes == 0:
                run = <const uint8_t*>frame
                run_at = reader.at
            run_bytes += reader.peeked
            frames += 1
            reader.advance(frame)
        return self._describe(nbytes)

    cdef uint32_t _describe(self, uint32_t nbytes) noexcept nogil:
        """The header of `nbytes` of frames, which end where the numbering has a hole; how many frames."""
        cdef tc_block* head = <tc_block*>self._memory
        cdef const tc_log_frame* frame = <const tc_log_frame*>(self._memory + TC_BLOCK_HEADER)
        cdef uint64_t next_seq
        memset(head, 0, TC_BLOCK_HEADER)
        if nbytes == 0:
            return 0
        next_seq = self.next_seq if self.next_seq else frame.seq
        head.kind = TC_BLOCK_FRAMES
        head.first_seq = next_seq
        head.first_ns = frame.ts_in
        while head.nbytes < nbytes:
            frame = <const tc_log_frame*>(self._memory + TC_BLOCK_HEADER + head.nbytes)
            if frame.seq != next_seq:
                break
            if frame.kind == TC_KIND_RECORD:
                next_seq += 1
            elif frame.kind == TC_KIND_TOPIC:
                head.flags = TC_BLOCK_NAMES_TOPICS
            if frame.ts_in < head.first_ns:
                head.first_ns = frame.ts_in
            if frame.ts_in > head.last_ns:
                head.last_ns = frame.ts_in
            head.nbytes += frame.length
            head.count += 1
        head.last_seq = next_seq - 1
        return head.count

    cdef int _put_missing(self, uint64_t first, uint64_t last, bytes cause) except -1:
        cdef tc_block* head = <tc_block*>self._memory
        memset(self._memory, 0, TC_BLOCK_HEADER + TC_CAUSE_BYTES)
        memcpy(self._memory + TC_BLOCK_HEADER, <const char*>cause, len(cause))
        head.kind = TC_BLOCK_MISSING
        head.nbytes = TC_CAUSE_BYTES
        head.first_seq = first
        head.last_seq = last
        return self._put()

    cdef int _put(self) except -1:
        """Write the block that was made, in a segment that has room."""
        cdef tc_block* head = <tc_block*>self._memory
        if self._fd >= 0 and self._held_bytes >= self._segment_bytes:
            self.seal()
        if self._fd < 0:
            self._create(head.first_seq)
        head.epoch = self.epoch
        with nogil:
            block_close(head, self._memory + TC_BLOCK_HEADER)
        self._append(self._memory)
        self._topics.learn(head, self._memory + TC_BLOCK_HEADER)
        if head.kind == TC_BLOCK_FRAMES:
            self._held_bytes += head.nbytes
        if self._safe_next == 0:
            self._safe_next = head.first_seq
        self.next_seq = head.last_seq + 1
        self._trouble = ""
        return 0

    cdef int _append(self, const uint8_t* block) except -1:
        """Write a whole block to the end of the open segment; what is not written wholly is taken back."""
        cdef const tc_block* head = <const tc_block*>block
        cdef size_t nbytes = TC_BLOCK_HEADER + head.nbytes
        try:
            self._write(self._fd, self._index.end, PyMemoryView_FromMemory(<char*>block, nbytes, PyBUF_READ))
        except OSError as e:
            try:
                self._disk.truncate(self._fd, self._index.end)
            except OSError:
                self._end_segment()
            raise self._failed(e) from e
        self._index.add(head, self._index.end)
        return 0

    def _write(self, fd: int, offset: int, data: bytes | memoryview) -> None:
        done = 0
        while done < len(data):
            written = self._disk.write(fd, offset + done, data[done:] if done else data)
            if written == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            done += written

    # --- segments ---------------------------------------------------------------------------------------------------

    def seal(self) -> Path | None:
        self._settle()
        if self._fd < 0 or self._index.last_seq < self._index.first_seq:
            return None
        # At most two are unsynced at any time: the open one and the one before.
        if self._ended:
            self.sync()
        path = self._path
        block = self._index.to_block()
        self._append(<const uint8_t*><const char*>block)
        self._end_segment()
        return path

    def _create(self, first_seq: int) -> None:
        path = self.folder / name(self.epoch, first_seq)
        with self._turning:
            try:
                # Of a segment that was left before a record was in it.
                if path.exists():
                    self._disk.unlink(path)
                self._fd = self._disk.create(path)
            except OSError as e:
                raise self._failed(e) from e
            self._path = path
            self._index = SparseIndex()
            self._held_bytes = self._safe_end = 0
            self._folder_changed = True
        try:
            for block in self._topics.to_blocks(self.epoch, first_seq):
                self._append(<const uint8_t*><const char*>block)
        except StoreError:
            self._end_segment()
            path, fd, _, _ = self._ended.pop()
            self._disk.close(fd)
            path.unlink(missing_ok=True)
            raise

    def _end_segment(self) -> None:
        """Leave the open segment as it is; it is still to be synced."""
        with self._turning:
            if self._fd >= 0:
                self._ended.append((self._path, self._fd, self._index.first_seq, self._safe_end))
                self._path = None
                self._fd = -1

    def _failed(self, e: OSError) -> StoreError:
        full = e.errno in (errno.ENOSPC, errno.EDQUOT)
        self._trouble = DISK_FULL if full else DISK_ERROR
        return StoreError(
            "the archive's disk is full" if full else "the archive's disk failed",
            full=full,
            found=e.strerror,
            where=str(self.folder),
            remedy="Make room there: the archive goes on by itself, and says what it missed" if full else "See the kernel's log (dmesg)",
        )

    # --- durability -------------------------------------------------------------------------------------------------

    def sync(self) -> int:
        with self._turning:
            if self._distrusted:
                return self.durable_seq
            next_seq = self.next_seq
            end = self._index.end if self._fd >= 0 else 0
            try:
                self._sync_all()
            except OSError as e:
                self._distrusted = True
                if threading.get_ident() == self._owner:
                    self._settle()
                raise self._failed(e) from e
            self._safe_next = next_seq
            self._safe_end = end
            self.durable_seq = next_seq - 1 if next_seq else 0
            return self.durable_seq

    def _sync_all(self) -> None:
        for _, fd, _, _ in self._ended:
            self._disk.sync(fd)
        if self._fd >= 0:
            self._disk.sync(self._fd)
        if self._folder_changed:
            self._disk.sync_folder(self.folder)
        self._folder_changed = False
        for _, fd, _, _ in self._ended:
            self._disk.close(fd)
        del self._ended[:]

    def _settle(self) -> None:
        """After a sync that failed: the kernel may have dropped what it could not write, and will not say so again. So leave
        what was not durable, and go back to where all was."""
        self._owner = threading.get_ident()
        if not self._distrusted:
            return
        with self._turning:
            self._end_segment()
            try:
                while self._ended:
                    path, fd, first_seq, safe_end = self._ended[len(self._ended) - 1]
                    if first_seq < self._safe_next:
                        self._disk.truncate(fd, safe_end)
                    elif path.exists():
                        self._disk.unlink(path)
                    self._disk.close(fd)
                    del self._ended[len(self._ended) - 1]
            except OSError as e:
                raise self._failed(e) from e
            if self._topics.count:
                memset(self._topics.topic_seqs, 0, self._topics.count * sizeof(uint64_t))
            self.next_seq = self._safe_next
            self._folder_changed = True
            self._distrusted = False
            self._trouble = DISK_ERROR

    # --- beginning --------------------------------------------------------------------------------------------------

    def begin(self, epoch: int, topics: Iterable[tuple[int, str, str]]) -> None:
        cdef TopicTable fresh = TopicTable()
        if not 0 < epoch <= UINT64_MAX:
            raise CallerError("no such epoch", expected="ns since 1970", found=epoch)
        if self.epoch == <uint64_t>epoch:
            self._settle()
        else:
            try:
                self._finish()
                self._recover(epoch)
            except OSError as e:
                raise self._failed(e) from e
            finally:
                if self.epoch != <uint64_t>epoch:
                    self._leave()
        for topic_id, schema, symbol in topics:
            if self._topics.add(topic_id, schema, symbol):
                fresh.add(topic_id, schema, symbol)
        if self._fd >= 0 and fresh.count:
            for block in fresh.to_blocks(epoch, self.next_seq):
                self._append(<const uint8_t*><const char*>block)

    def _finish(self) -> None:
        """End the epoch that was. What can't be made durable any more stays as it is: nobody could write it again."""
        self._owner = threading.get_ident()
        if self.epoch and not self._distrusted:
            if self._fd >= 0:
                self._append_index()
            self._sync_all()
        self._leave()

    def _leave(self) -> None:
        """Have no epoch and no file open."""
        self._end_segment()
        for _, fd, _, _ in self._ended:
            self._disk.close(fd)
        del self._ended[:]
        self._topics.clear()
        self.epoch = self.next_seq = self.durable_seq = self._safe_next = 0
        self._distrusted = False
        self._trouble = ""

    def _recover(self, epoch: int) -> None:
        """Cut what is torn, seal what will not be written to again, and stand behind the last record of this epoch."""
        self.cut = []
        doubted, self._doubted = self._doubted, True
        there = [segment for segment in segments(self.folder) if not segment.compressed]
        own = [segment for segment in there if segment.epoch == epoch]
        last = own.pop() if own else None
        last_but_one = own.pop() if own else None
        for segment in sorted(there, key=lambda segment: segment is last):
            file = SegmentFile(segment.path, segment.epoch)
            if doubted:
                self._write_again(file)
            if not file.sealed:
                self._topics.clear()
                if self._reopen(file) and segment is not last:
                    self._append_index()
            elif segment is last or segment is last_but_one:
                # It may have been sealed and not synced.
                self._ended.append((segment.path, self._disk.open(segment.path), segment.first_seq, 0))
        if self._fd >= 0:
            self.next_seq = self._index.last_seq + 1
        else:
            for segment in segments(self.folder):
                if segment.epoch == epoch:
                    file = SegmentFile(segment.path, epoch)
                    self.next_seq = file.figures().last_seq + 1
                    file.learn_before(file.index.end, self._topics)
        self._folder_changed = True
        self._sync_all()
        self._doubted = False
        self._safe_next = self.next_seq
        self._safe_end = self._index.end if self._fd >= 0 else 0
        self.durable_seq = self.next_seq - 1 if self.next_seq else 0
        self.epoch = epoch

    cdef bint _reopen(self, SegmentFile file) except -1:
        """Make this the open segment, without what is torn at its end; false: no record was left, and it is removed."""
        cdef const tc_block* head = <const tc_block*>file.scratch
        cdef SparseIndex index = SparseIndex()
        cdef uint64_t nbytes, offset = 0, held_bytes = 0, size = file.size()
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
            self._topics.learn(head, file.scratch + TC_BLOCK_HEADER)
            if head.kind == TC_BLOCK_FRAMES:
                held_bytes += head.nbytes
            offset += nbytes
        if index.end < size:
            self.cut.append(Cut(file.path, size - index.end))
        if index.last_seq < index.first_seq or index.end == 0:
            self._disk.unlink(file.path)
            return False
        self._fd = self._disk.open(file.path)
        self._path = file.path
        self._index = index
        self._held_bytes = held_bytes
        self._safe_end = 0
        if index.end < size:
            self._disk.truncate(self._fd, index.end)
        return True

    def _write_again(self, SegmentFile file) -> None:
        """What a sync could not write the kernel may take for written: make it dirty once more."""
        fd = self._disk.open(file.path)
        try:
            size = os.fstat(fd).st_size
            for offset in range(0, size, BLOCK_ROOM):
                self._write(fd, offset, os.pread(fd, BLOCK_ROOM, offset))
        finally:
            self._disk.close(fd)

    def _append_index(self) -> None:
        block = self._index.to_block()
        self._append(<const uint8_t*><const char*>block)
        self._end_segment()

    def _free(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _tidy(self) -> None:
        """Clear away what a compression left that a crash interrupted."""
        for path in self.folder.glob(f"*{UNFINISHED}"):
            self._disk.unlink(path)
        for segment in segments(self.folder):
            if segment.compressed and segment.path.with_suffix("").exists():
                self._disk.unlink(segment.path.with_suffix(""))
