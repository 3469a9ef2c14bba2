# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Reading an archive: from any place on, segment after segment and epoch after epoch, while its writer writes.

A reader neither locks nor writes. What it gives is whole: a block is proved by its sum before anybody sees it, and what can't
be proved is skipped up to the next block that can, and reported as missing.
"""

from typing import NamedTuple

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.ref cimport Py_REFCNT
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from feed.store.block cimport block_trim
from feed.store.layout cimport (
    TC_BLOCK_FRAMES,
    TC_BLOCK_HEADER,
    TC_BLOCK_INDEX,
    TC_BLOCK_MISSING,
    TC_BLOCK_NAMES_TOPICS,
    TC_BLOCK_TOPICS,
    TC_CAUSE_BYTES,
    tc_block,
)
from feed.store.segment cimport BLOCK_ROOM, RUN_BYTES

from feed.store.folder import Folder

EXPIRED = "expired"
DAMAGE = "damage"

cdef enum:
    SPARES = 3          # blocks kept for their memory: one that is read, one that the caller still holds, and one more
    LOOKS = 16          # at a folder whose files go while they are opened


class Epoch(NamedTuple):
    """What the folder holds of one epoch; times are ts_in, ns since 1970. last_seq = first_seq - 1: no record yet."""

    epoch: int
    first_seq: int
    last_seq: int
    first_ns: int
    last_ns: int


cdef class Block:
    def __cinit__(self):
        self._memory = <uint8_t*>malloc(BLOCK_ROOM)
        if self._memory == NULL:
            raise MemoryError
        self.at = self._memory
        self.missing = ""

    def __dealloc__(self):
        free(self._memory)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, <void*>self.at, self.nbytes, 1, flags)

    @property
    def data(self) -> memoryview:
        return memoryview(self)


cdef class StoreReader:
    def __init__(self, folder: Path, *, epoch: int = 0, seq: int = 0, time_ns: int = 0) -> None:
        self.folder = folder
        self._there = Folder(folder)
        self._topics = TopicTable()
        self._spare = []
        self._wanted = (epoch, seq, time_ns)

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._wanted = (self.epoch, self.next_seq, 0)

    def seek(self, *, epoch: int = 0, seq: int = 0, time_ns: int = 0) -> None:
        if self._wanted is None and seq and not time_ns and (epoch, seq) == (self.epoch, self.next_seq):
            return
        self._wanted = (epoch, seq, time_ns)

    cpdef Block read_block(self):
        cdef Block block = self._spare_block()
        cdef tc_block* head = <tc_block*>block._memory
        cdef uint64_t nbytes
        while True:
            if self._wanted is not None and not self._begin():
                return None
            nbytes = self._file.run(self._offset, block._memory, RUN_BYTES)
            if nbytes == 0 and self._skip():
                continue
            if nbytes and head.kind == TC_BLOCK_INDEX and 0 < self.next_seq <= head.last_seq:
                head.first_seq = head.last_seq + 1      # of what it should hold some is damaged, up to its end
            elif nbytes == 0 or head.kind == TC_BLOCK_INDEX:
                if not self._turn():
                    return None
                continue
            self._last_look = False
            if head.flags & TC_BLOCK_NAMES_TOPICS:
                self._topics.learn(head, block._memory + TC_BLOCK_HEADER)
            if head.kind == TC_BLOCK_TOPICS:
                self._offset += nbytes
                continue
            block.at = block._memory + TC_BLOCK_HEADER
            block.missing = ""
            if self.next_seq and head.first_seq > self.next_seq:
                # The block itself is read again by the next call.
                block.missing = self._absent if self.next_seq < self._segment.first_seq else DAMAGE
                head.last_seq = min(head.first_seq, self._segment.first_seq if block.missing == EXPIRED else UINT64_MAX) - 1
                head.first_seq = self.next_seq
                head.first_ns = head.last_ns = 0
                head.nbytes = head.count = 0
                nbytes = 0
            elif self._learned_all and head.kind == TC_BLOCK_FRAMES and not self._topics.knows(head, block.at):
                # What said whose records these are is damaged, so they are of no use to anybody.
                block.missing = DAMAGE
                head.first_ns = head.last_ns = 0
                head.nbytes = head.count = 0
            elif head.kind == TC_BLOCK_MISSING:
                block.missing = (<const char*>block.at)[:TC_CAUSE_BYTES].rstrip(b"\0").decode("ascii", "replace")
                head.nbytes = 0
            self._offset += nbytes
            # A segment that was begun anew after an error of the disk says again what the one before it said.
            if head.last_seq + 1 < self.next_seq or head.last_seq + 1 == self.next_seq and head.first_seq < self.next_seq:
                continue
            if head.first_seq < self.next_seq:
                block.at += block_trim(head, block.at, self.next_seq)
            self.next_seq = head.last_seq + 1
            block.epoch = head.epoch
            block.first_seq = head.first_seq
            block.last_seq = head.last_seq
            block.first_ns = head.first_ns
            block.last_ns = head.last_ns
            block.count = head.count
            block.nbytes = head.nbytes
            return block

    cdef const tc_topic_entry* entry(self, uint32_t topic_id) noexcept nogil:
        return self._topics.entry(topic_id)

    def topic(self, topic_id: int) -> tuple[str, str]:
        return self._topics.topic(topic_id)

    def epochs(self) -> list[Epoch]:
        found: dict[int, Epoch] = {}
        for segment in self._there.segments():
            try:
                index = SegmentFile(segment.path, segment.epoch).figures()
            except FileNotFoundError:
                continue
            last_seq = index.last_seq if index.end else segment.first_seq - 1
            before = found.get(segment.epoch, Epoch(segment.epoch, segment.first_seq, 0, 0, 0))
            found[segment.epoch] = Epoch(
                segment.epoch,
                before.first_seq,
                max(before.last_seq, last_seq),
                before.first_ns or index.first_ns,
                max(before.last_ns, index.last_ns),
            )
        return list(found.values())

    # --- from file to file ------------------------------------------------------------------------------------------

    cdef bint _begin(self) except -1:
        """Open the segment where it was said to begin; false: there is none."""
        cdef object here = None
        cdef object segment
        epoch, seq, time_ns = self._wanted
        for _ in range(LOOKS):
            there = [segment for segment in self._there.segments() if segment.epoch >= epoch]
            if not there:
                return False
            try:
                if time_ns:
                    for here in there:
                        if self._open(here, 0, time_ns):
                            break
                elif seq and (epoch == 0 or there[0].epoch == epoch):
                    here = _holding([segment for segment in there if segment.epoch == there[0].epoch], seq)
                    self._open(here, seq, 0)
                elif epoch and there[0].epoch != epoch:
                    # Of an epoch that is new to the caller everything counts.
                    self._open(there[0], 1, 0)
                else:
                    self._open(there[0], there[0].first_seq, 0)
            except FileNotFoundError:
                continue
            self._absent = EXPIRED
            self._wanted = None
            return True
        return False

    cdef bint _skip(self) except -1:
        """There is no whole block here: go on at the next one; false: there is none in this file."""
        cdef uint64_t found = self._file.next_whole(self._offset)
        if found == UINT64_MAX:
            return False
        # What was only being written when it was read is written now, since what lies behind it is.
        if not self._file.run(self._offset, self._file.scratch, 0):
            self._offset = found
            self._learn_all()
        return True

    cdef bint _turn(self) except -1:
        """This file has no more: go on with the next, or, where there is none yet, wait for one; false: wait."""
        cdef object here = self._segment
        cdef object segment
        for _ in range(LOOKS):
            there = self._there.segments()
            own = [segment for segment in there if segment.epoch == here.epoch]
            later = [segment for segment in own if segment.first_seq > here.first_seq]
            # What a failing disk did not keep is removed, and begun anew at an earlier seq or under the same name.
            if not later and self._file.content.removed():
                later = own
            coming = _holding(later, self.next_seq) if later else None
            if coming is None:
                coming = next((segment for segment in there if segment.epoch > here.epoch), None)
            if coming is None:
                return False
            # Only now is it certain that nothing more comes here: look once more at what came until now.
            if not self._last_look:
                self._last_look = True
                return True
            self._last_look = False
            held = any(segment[:2] == here[:2] for segment in there)
            try:
                self._open(coming, self.next_seq if coming.epoch == here.epoch else 1, 0)
            except FileNotFoundError:
                self._last_look = True
                continue
            self._absent = DAMAGE if held and coming.epoch == here.epoch else EXPIRED
            return True
        return False

    cdef bint _open(self, object segment, uint64_t seq, uint64_t time_ns) except -1:
        """Stand in this segment at the block that holds `seq` (or `time_ns`); false: it ends before that, this stands there."""
        cdef SegmentFile file = self._file
        if file is None or file.content.fd < 0 or file.path != segment.path or file.content.removed():
            file = SegmentFile(segment.path, segment.epoch)
        if segment.epoch != self.epoch:
            self._topics.clear()
            self._learned_all = False
        self._file = file
        self._segment = segment
        self._last_look = False
        self.epoch = segment.epoch
        self.next_seq = seq
        self._offset = 0
        if time_ns or seq > <uint64_t>segment.first_seq:
            self._offset = file.find(seq, time_ns)
            if not file.learn_before(self._offset, self._topics):
                self._learn_all()
        return self._offset < file.index.end

    cdef int _learn_all(self) except -1:
        """What is damaged may have named topics. Every segment begins with a table of those before it."""
        if self._learned_all:
            return 0
        self._learned_all = True
        for segment in self._there.segments():
            if segment.epoch == self.epoch:
                try:
                    SegmentFile(segment.path, segment.epoch).learn_before(UINT64_MAX, self._topics)
                except FileNotFoundError:
                    continue
        return 0

    cdef Block _spare_block(self):
        """One that nobody else refers to."""
        cdef Block block
        cdef Py_ssize_t i
        for i in range(len(self._spare)):
            block = self._spare[i]
            if Py_REFCNT(block) == 2:       # the list and this name
                return block
        block = Block()
        if len(self._spare) == SPARES:
            del self._spare[0]
        self._spare.append(block)
        return block


cdef object _holding(list own, uint64_t seq):
    """Of the segments of an epoch the last that begins at or below `seq`, else the first."""
    below = [segment for segment in own if segment.first_seq <= seq]
    return below[len(below) - 1] if below else own[0]
