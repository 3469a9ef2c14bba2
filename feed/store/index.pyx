# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The sparse index of a segment: one entry for each stretch of blocks of at least TC_INDEX_STRIDE bytes.

Built as blocks are written, or read again from their headers; what ends a sealed segment is this as a block.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from feed.store.block cimport block_close, block_headed, block_whole
from feed.store.layout cimport (
    TC_BLOCK_HEADER,
    TC_BLOCK_INDEX,
    TC_INDEX_END_MAGIC,
    TC_INDEX_STRIDE,
    tc_block,
    tc_index_end,
    tc_index_entry,
)


cdef class SparseIndex:
    def __dealloc__(self) -> None:
        free(self.entries)

    cdef int add(self, const tc_block* block, uint64_t offset) except -1:
        cdef tc_index_entry* entry
        if self.count == 0 or offset - self.entries[self.count - 1].offset >= TC_INDEX_STRIDE:
            self._grow(self.count + 1)
            entry = &self.entries[self.count]
            memset(entry, 0, sizeof(tc_index_entry))
            entry.offset = offset
            entry.first_seq = block.first_seq
            entry.before_ns = self.last_ns
            self.count += 1
        self.entries[self.count - 1].flags |= block.flags
        if self.end == 0:
            self.epoch = block.epoch
            self.first_seq = block.first_seq
            self.last_seq = block.first_seq - 1
        self.last_seq = max(self.last_seq, block.last_seq)
        if block.last_ns:
            self.first_ns = min(self.first_ns, block.first_ns) if self.last_ns else block.first_ns
            self.last_ns = max(self.last_ns, block.last_ns)
        self.end = offset + TC_BLOCK_HEADER + block.nbytes
        return 0

    cdef uint64_t before_seq(self, uint64_t seq) noexcept nogil:
        cdef uint32_t low = 0, high = self.count, middle
        while low < high:
            middle = (low + high) // 2
            if self.entries[middle].first_seq <= seq:
                low = middle + 1
            else:
                high = middle
        return self.entries[low - 1].offset if low else 0

    cdef uint64_t before_time(self, uint64_t time_ns) noexcept nogil:
        cdef uint32_t low = 0, high = self.count, middle
        while low < high:
            middle = (low + high) // 2
            if self.entries[middle].before_ns < time_ns:
                low = middle + 1
            else:
                high = middle
        return self.entries[low - 1].offset if low else 0

    cdef bint load(self, const uint8_t* at, size_t nbytes) except -1:
        cdef const tc_block* head = <const tc_block*>at
        cdef const tc_index_end* end
        if nbytes < TC_BLOCK_HEADER + sizeof(tc_index_end) or not block_headed(head) or head.kind != TC_BLOCK_INDEX:
            return False
        if head.nbytes + TC_BLOCK_HEADER != nbytes or not block_whole(head, at + TC_BLOCK_HEADER):
            return False
        if <uint64_t>head.count * sizeof(tc_index_entry) + sizeof(tc_index_end) != head.nbytes:
            return False
        end = <const tc_index_end*>(at + nbytes - sizeof(tc_index_end))
        self._grow(head.count)
        memcpy(self.entries, at + TC_BLOCK_HEADER, head.count * sizeof(tc_index_entry))
        self.count = head.count
        self.epoch = head.epoch
        self.first_seq = head.first_seq
        self.last_seq = head.last_seq
        self.first_ns = head.first_ns
        self.last_ns = head.last_ns
        self.end = end.offset
        return True

    def note(self, const uint8_t[::1] block not None) -> None:
        self.add(<const tc_block*>&block[0], self.end)

    cpdef bytes to_block(self):
        cdef size_t entries = self.count * sizeof(tc_index_entry)
        cdef bytearray made = bytearray(TC_BLOCK_HEADER + entries + sizeof(tc_index_end))
        cdef uint8_t* at = made
        cdef tc_block* head = <tc_block*>at
        cdef tc_index_end* end = <tc_index_end*>(at + TC_BLOCK_HEADER + entries)
        memcpy(at + TC_BLOCK_HEADER, self.entries, entries)
        end.offset = self.end
        end.magic = TC_INDEX_END_MAGIC
        head.kind = TC_BLOCK_INDEX
        head.nbytes = <uint32_t>(entries + sizeof(tc_index_end))
        head.count = self.count
        head.epoch = self.epoch
        head.first_seq = self.first_seq
        head.last_seq = self.last_seq
        head.first_ns = self.first_ns
        head.last_ns = self.last_ns
        block_close(head, at + TC_BLOCK_HEADER)
        return bytes(made)

    cdef int _grow(self, uint32_t count) except -1:
        cdef void* grown
        if count > self.room:
            count = max(count, 2 * self.room, 64)
            grown = realloc(self.entries, count * sizeof(tc_index_entry))
            if grown == NULL:
                raise MemoryError
            self.entries = <tc_index_entry*>grown
            self.room = count
        return 0
