# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Reading one segment: its blocks in order, the place of a seq or a time, and where to go on behind what is not whole.

A compressed segment is read as its content: offsets are those of the segment that was compressed into it.
"""

from pathlib import Path

from libc.stdint cimport UINT32_MAX, UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove

from feed.store.block cimport block_close, block_headed, block_whole
from feed.store.content cimport Content
from feed.store.layout cimport (
    TC_BLOCK_FRAMES,
    TC_BLOCK_HEADER,
    TC_BLOCK_INDEX,
    TC_BLOCK_MAGIC,
    TC_BLOCK_NAMES_TOPICS,
    TC_BLOCK_PAYLOAD_MAX,
    TC_INDEX_END_MAGIC,
    tc_block,
    tc_index_end,
)

cdef enum:
    WINDOW = 4096           # a look at headers: many small blocks, or one large one, at little cost
    SCAN = 64 << 10


cdef class SegmentFile:
    def __init__(self, path: Path, epoch: int) -> None:
        self.path = path
        self.epoch = epoch
        self.index = SparseIndex()
        self.content = Content(path)
        self.scratch = <uint8_t*>malloc(BLOCK_ROOM)
        self.window = <uint8_t*>malloc(WINDOW)
        if self.scratch == NULL or self.window == NULL:
            raise MemoryError
        self.sealed = self._load_index()

    def __dealloc__(self) -> None:
        free(self.scratch)
        free(self.window)

    def close(self) -> None:
        self.content.close()

    def blocks(self):
        cdef uint64_t offset = 0
        cdef uint64_t nbytes
        cdef tc_block* head = <tc_block*>self.scratch
        while True:
            nbytes = self.run(offset, self.scratch, TC_BLOCK_PAYLOAD_MAX)
            if nbytes == 0:
                offset = self.next_whole(offset)
                if offset == UINT64_MAX:
                    return
                continue
            if head.kind == TC_BLOCK_INDEX:
                return
            block_close(head, self.scratch + TC_BLOCK_HEADER)
            offset += nbytes
            yield (<const char*>self.scratch)[: TC_BLOCK_HEADER + head.nbytes]

    def figures(self) -> SparseIndex:
        self.walk()
        return self.index

    cdef uint64_t run(self, uint64_t offset, uint8_t* memory, size_t enough) except? 0:
        cdef tc_block* head = <tc_block*>memory
        cdef size_t have, whole
        # Of a zstd frame all or nothing is unpacked.
        have = self.content.fill(offset, memory, BLOCK_ROOM if self.content.compressed else TC_BLOCK_HEADER + enough)
        if have < TC_BLOCK_HEADER or not block_headed(head) or head.epoch != self.epoch:
            return 0
        whole = TC_BLOCK_HEADER + head.nbytes
        if head.kind == TC_BLOCK_INDEX:
            return whole if self.sealed or self._load_index() else 0
        if have < whole:
            have += self.content.fill(offset + have, memory + have, whole - have)
            if have < whole:
                return 0
        with nogil:
            return whole + _merge(memory, whole, have) if block_whole(head, memory + TC_BLOCK_HEADER) else 0

    cdef uint64_t next_whole(self, uint64_t offset) except? 0:
        cdef uint8_t* window
        cdef size_t have, at
        if self.content.compressed:
            # Each zstd frame holds one block.
            for start in self.content.starts:
                if <uint64_t>start >= offset and self.run(start, self.scratch, TC_BLOCK_PAYLOAD_MAX):
                    return start
            return UINT64_MAX
        window = <uint8_t*>malloc(SCAN)
        if window == NULL:
            raise MemoryError
        try:
            while True:
                have = self.content.fill(offset, window, SCAN)
                if have < TC_BLOCK_HEADER:
                    return UINT64_MAX
                at = 0
                while at + TC_BLOCK_HEADER <= have:
                    if (<const tc_block*>(window + at)).magic == TC_BLOCK_MAGIC and block_headed(<const tc_block*>(window + at)):
                        if self.run(offset + at, self.scratch, 0):
                            return offset + at
                    at += 8
                offset += at
        finally:
            free(window)

    cdef int walk(self) except -1:
        cdef const tc_block* head
        cdef uint64_t size, offset = self.index.end
        if self.sealed:
            return 0
        size = self.content.size()
        self.window_bytes = 0
        while True:
            head = self._head_at(offset)
            # Of the last block the header may be there before the payload is.
            if head == NULL or offset + TC_BLOCK_HEADER + head.nbytes >= size and not self.run(offset, self.scratch, 0):
                offset = self.next_whole(offset)
                if offset == UINT64_MAX:
                    return 0
                self.window_bytes = 0
                self._holed = True
                continue
            if head.kind == TC_BLOCK_INDEX:
                return 0
            self.index.add(head, offset)
            offset = self.index.end

    cdef uint64_t find(self, uint64_t seq, uint64_t time_ns) except? 0:
        cdef const tc_block* head
        cdef uint64_t offset
        self.walk()
        self.window_bytes = 0
        offset = self.index.before_seq(seq) if seq else self.index.before_time(time_ns)
        while offset < self.index.end:
            head = self._head_at(offset)
            if head == NULL:
                offset = self.next_whole(offset)
                self.window_bytes = 0
                continue
            if (head.last_seq >= seq and head.last_seq >= head.first_seq) if seq else head.last_ns >= time_ns:
                return offset
            offset += TC_BLOCK_HEADER + head.nbytes
        return self.index.end

    cdef bint learn_before(self, uint64_t offset, TopicTable topics) except -1:
        cdef const tc_block* head
        cdef uint64_t at, end
        cdef uint32_t i
        cdef bint whole
        self.walk()
        self.window_bytes = 0
        whole = not self._holed
        for i in range(self.index.count):
            if not self.index.entries[i].flags & TC_BLOCK_NAMES_TOPICS:
                continue
            at = self.index.entries[i].offset
            end = min(offset, self.index.entries[i + 1].offset if i + 1 < self.index.count else self.index.end)
            while at < end:
                head = self._head_at(at)
                if head == NULL:
                    whole = False
                    at = self.next_whole(at)
                    self.window_bytes = 0
                    continue
                if head.flags & TC_BLOCK_NAMES_TOPICS:
                    if self.run(at, self.scratch, 0):
                        topics.learn(<const tc_block*>self.scratch, self.scratch + TC_BLOCK_HEADER)
                    else:
                        whole = False
                at += TC_BLOCK_HEADER + head.nbytes
        return whole

    # --- what is known of it ----------------------------------------------------------------------------------------

    cdef bint _load_index(self) except -1:
        """Is it sealed? Then know its index."""
        cdef tc_index_end end
        cdef uint64_t size = self.content.size()
        cdef const uint8_t* at
        cdef bytearray block
        if size < TC_BLOCK_HEADER + sizeof(end) or self.content.fill(size - sizeof(end), <uint8_t*>&end, sizeof(end)) < <Py_ssize_t>sizeof(end):
            return False
        if end.magic != TC_INDEX_END_MAGIC or end.offset >= size or size - end.offset > <uint64_t>UINT32_MAX:
            return False
        block = bytearray(size - end.offset)
        at = block
        if self.content.fill(end.offset, <uint8_t*>at, len(block)) < len(block):
            return False
        self.sealed = self.index.load(at, len(block)) and self.index.epoch == self.epoch
        return self.sealed

    cdef const tc_block* _head_at(self, uint64_t offset) except? NULL:
        """The header at `offset`, valid until the next call; NULL: there is none."""
        cdef const tc_block* head
        if self.window_bytes == 0 or offset < self.window_at or offset + TC_BLOCK_HEADER > self.window_at + self.window_bytes:
            self.window_bytes = self.content.fill(offset, self.window, WINDOW)
            self.window_at = offset
            if self.window_bytes < TC_BLOCK_HEADER:
                return NULL
        head = <const tc_block*>(self.window + (offset - self.window_at))
        return head if block_headed(head) and head.epoch == self.epoch else NULL


cdef size_t _merge(uint8_t* memory, size_t whole, size_t have) noexcept nogil:
    """Join the whole blocks of frames that follow the first one in `memory` to it; how many bytes they took."""
    cdef tc_block* head = <tc_block*>memory
    cdef tc_block more
    cdef size_t at = whole
    while head.kind == TC_BLOCK_FRAMES and have - at >= TC_BLOCK_HEADER:
        memcpy(&more, memory + at, TC_BLOCK_HEADER)
        if (
            not block_headed(&more)
            or more.kind != TC_BLOCK_FRAMES
            or more.epoch != head.epoch
            or more.first_seq != head.last_seq + 1
            or have - at - TC_BLOCK_HEADER < more.nbytes
            or not block_whole(&more, memory + at + TC_BLOCK_HEADER)
        ):
            break
        memmove(memory + TC_BLOCK_HEADER + head.nbytes, memory + at + TC_BLOCK_HEADER, more.nbytes)
        at += TC_BLOCK_HEADER + more.nbytes
        if more.last_ns:
            head.first_ns = min(head.first_ns, more.first_ns) if head.last_ns else more.first_ns
            head.last_ns = max(head.last_ns, more.last_ns)
        head.last_seq = more.last_seq
        head.nbytes += more.nbytes
        head.count += more.count
        head.flags |= more.flags
    return at - whole
