# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The writer of an archive: frames out of the log, as blocks, to the end of the open segment.

What waits in the log is copied into a block of its own, and only a copy that proved whole is summed and written: nothing that
has a right sum is wrong, whatever the writer of the log did meanwhile.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from feed.log.layout cimport TC_KIND_RECORD, TC_KIND_TOPIC, tc_log_frame
from feed.log.reader cimport FRAME_MAX, LogReader
from feed.store.layout cimport (
    TC_BLOCK_FRAMES,
    TC_BLOCK_HEADER,
    TC_BLOCK_MISSING,
    TC_BLOCK_NAMES_TOPICS,
    TC_CAUSE_BYTES,
    tc_block,
)
from feed.store.segment cimport BLOCK_ROOM, RUN_BYTES
from feed.store.tail cimport Tail

from feed.errors import CallerError, StoreError
from feed.store.disk import Disk
from feed.store.folder import hold
from feed.store.recovery import Cut, recover, tidy

OVERRUN = "overrun"


cdef class StoreWriter:
    def __init__(self, folder: Path, *, segment_bytes: int = 256 << 20, disk: Disk | None = None) -> None:
        if segment_bytes < 1:
            raise CallerError("a segment holds something", found=segment_bytes, where="archive.segment")
        self._memory = <uint8_t*>malloc(BLOCK_ROOM)
        if self._memory == NULL:
            raise MemoryError
        self._tail = Tail(folder, segment_bytes, disk or Disk())
        self.cut = []
        self.missed = {}
        try:
            if not folder.is_dir():
                folder.mkdir(mode=0o750, parents=True, exist_ok=True)
                self._tail.disk.sync_folder(folder.parent)
            self._lock = hold(folder)
            tidy(folder, self._tail.disk)
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
            if self._tail.epoch:
                self._tail.settle()
                self._tail.sync()
        finally:
            self._tail.leave()
            self._free()

    def begin(self, epoch: int, topics: Iterable[tuple[int, str, str]]) -> None:
        if self._lock is None:
            raise CallerError("this writer is closed")
        if not 0 < epoch <= UINT64_MAX:
            raise CallerError("no such epoch", expected="ns since 1970", found=epoch)
        if self._tail.epoch == <uint64_t>epoch:
            self._tail.settle()
        else:
            try:
                self._tail.finish()
                doubted, self._doubted = self._doubted, True
                self.cut = recover(self._tail, epoch, doubted=doubted)
                self._doubted = False
            except OSError as e:
                raise self._tail.failed(e) from e
            finally:
                if self._tail.epoch != <uint64_t>epoch:
                    self._tail.leave()
        self._tail.announce(topics)

    def take(self, LogReader reader not None, limit: int = 1 << 16) -> int:
        cdef uint64_t most = limit, taken = 0, at
        cdef uint32_t frames
        self._tail.settle()
        if self._tail.epoch == 0 or reader.header == NULL or reader.header.epoch != self._tail.epoch:
            raise CallerError("no log of this epoch", expected=f"{self._tail.epoch}, as begin() said")
        while taken < most and self._lead(reader):
            at = reader.at
            with nogil:
                frames = self._gather(reader, most - taken)
            if frames == 0:
                continue
            try:
                self._tail.put(self._memory)
            except BaseException:
                reader.at = at
                raise
            finally:
                reader.seq = self._tail.next_seq
            taken += frames
        reader.report()
        return taken

    def missing(self, first: int, last: int, cause: str) -> None:
        self._tail.settle()
        text = cause.encode("ascii", "replace")
        if self._tail.epoch == 0 or not 1 <= first <= last or (self.next_seq and first != self.next_seq):
            raise CallerError("no range that can be missing here", expected=f"from {self.next_seq} on", found=f"{first} to {last}")
        if not 1 <= len(text) < TC_CAUSE_BYTES or not cause.isprintable():
            raise CallerError("no cause", expected=f"1 to {TC_CAUSE_BYTES - 1} printable ASCII characters", found=repr(cause))
        self._put_missing(first, last, text)

    def sync(self) -> int:
        return self._tail.sync()

    def seal(self) -> Path | None:
        self._tail.settle()
        return self._tail.seal()

    @property
    def folder(self) -> Path:
        return self._tail.folder

    @property
    def epoch(self) -> int:
        return self._tail.epoch

    @property
    def next_seq(self) -> int:
        return self._tail.next_seq

    @property
    def written_seq(self) -> int:
        return self._tail.next_seq - 1 if self._tail.next_seq else 0

    @property
    def durable_seq(self) -> int:
        return self._tail.durable_seq

    @property
    def path(self) -> Path | None:
        return self._tail.path

    # --- blocks out of the log --------------------------------------------------------------------------------------

    cdef bint _lead(self, LogReader reader) except -1:
        """Bring the reader to `next_seq`, recording what is no longer there; false: nothing is waiting."""
        cdef const tc_log_frame* frame
        cdef uint64_t seq
        cdef bint sought = False
        while True:
            frame = reader.peek()
            seq = frame.seq if frame != NULL else reader.seq
            if not reader.intact(reader.at):
                reader.overtaken(self._tail.next_seq)
            elif self._tail.next_seq == 0 or seq == self._tail.next_seq:
                return frame != NULL
            elif not sought:
                sought = True
                reader.seek_seq(self._tail.next_seq)
            elif frame == NULL or seq < self._tail.next_seq:
                return False
            else:
                self._put_missing(self._tail.next_seq, seq - 1, (self._tail.trouble or OVERRUN).encode())
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
        next_seq = self._tail.next_seq if self._tail.next_seq else frame.seq
        head.kind = TC_BLOCK_FRAMES
        head.first_seq = next_seq
        while head.nbytes < nbytes:
            frame = <const tc_log_frame*>(self._memory + TC_BLOCK_HEADER + head.nbytes)
            if frame.seq != next_seq:
                break
            if frame.kind == TC_KIND_RECORD:
                next_seq += 1
                if head.first_ns == 0 or frame.ts_in < head.first_ns:
                    head.first_ns = frame.ts_in
                if frame.ts_in > head.last_ns:
                    head.last_ns = frame.ts_in
            elif frame.kind == TC_KIND_TOPIC:
                head.flags = TC_BLOCK_NAMES_TOPICS
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
        self._tail.put(self._memory)
        self.missed[cause.decode()] = self.missed.get(cause.decode(), 0) + last - first + 1
        return 0

    def _free(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
