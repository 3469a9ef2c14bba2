"""One segment, open, sealed or compressed, for cimport."""

from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t

from feed.store.content cimport Content
from feed.store.index cimport SparseIndex
from feed.store.layout cimport tc_block
from feed.store.topics cimport TopicTable

cdef enum:
    BLOCK_ROOM = (1 << 20) + 64     # a header and the longest payload
    RUN_BYTES = 256 << 10           # a run of small blocks is merged up to about here


cdef class SegmentFile:
    cdef readonly object path
    cdef readonly uint64_t epoch
    cdef readonly bint sealed
    # Sealed: as its index says. Else: of the blocks that walk() has met.
    cdef readonly SparseIndex index
    cdef Content content
    cdef bint _holed                        # walk() had to skip something
    cdef uint8_t* scratch                   # BLOCK_ROOM
    cdef uint8_t* window                    # some bytes from window_at on, for walking headers
    cdef uint64_t window_at
    cdef size_t window_bytes

    # Read the block at `offset` into `memory`: header, then payload, with the blocks of frames that follow it without a
    # hole merged into it (the sums are void then) while they are at hand, up to `enough` bytes. Gives how many bytes of the
    # segment that is; 0: there is no whole block of this epoch. Of an index only the header is given.
    cdef uint64_t run(self, uint64_t offset, uint8_t* memory, size_t enough) except? 0
    # The first offset from `offset` on where run() finds something; UINT64_MAX: there is none.
    cdef uint64_t next_whole(self, uint64_t offset) except? 0
    # Bring the index of an unsealed segment up to what is in the file now.
    cdef int walk(self) except -1
    # The block that holds record `seq`, or, if that is 0, one with ts_in `time_ns`, or the first that is later. Gives where
    # the segment ends if there is none.
    cdef uint64_t find(self, uint64_t seq, uint64_t time_ns) except? 0
    # Learn all topics that blocks before `offset` name; false: something there is damaged.
    cdef bint learn_before(self, uint64_t offset, TopicTable topics) except -1

    cdef bint _load_index(self) except -1
    cdef const tc_block* _head_at(self, uint64_t offset) except? NULL
