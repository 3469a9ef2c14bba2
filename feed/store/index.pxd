"""Where in a segment to look for a seq or a time."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from feed.store.layout cimport tc_block, tc_index_entry


cdef class SparseIndex:
    cdef tc_index_entry* entries
    cdef uint32_t count, room
    # Of all blocks that were added: seqs as in a block's header, ts_in 0 if none has a record.
    cdef readonly uint64_t epoch, first_seq, last_seq, first_ns, last_ns
    cdef readonly uint64_t end              # offset behind the last block; 0: no block yet

    cdef int add(self, const tc_block* block, uint64_t offset) except -1
    # The offset from which to walk the headers to the block that holds it, or that comes behind it.
    cdef uint64_t before_seq(self, uint64_t seq) noexcept nogil
    cdef uint64_t before_time(self, uint64_t time_ns) noexcept nogil
    # Take over what a segment's index block says; false: it is none. `nbytes` are there.
    cdef bint load(self, const uint8_t* at, size_t nbytes) except -1
    cpdef bytes to_block(self)
    cdef int _grow(self, uint32_t count) except -1
