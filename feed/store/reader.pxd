"""Table of contents of the archive files' reader, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from feed.log.layout cimport tc_topic_entry
from feed.store.segment cimport SegmentFile
from feed.store.topics cimport TopicTable


cdef class Block:
    # A run of log frames (feed/log/layout.h: record, topic and source gap; each whole, 8-byte aligned, strictly in stream
    # order), or, if `missing` is not empty, the news that first_seq to last_seq will never come, and why.
    cdef readonly uint64_t epoch
    cdef readonly uint64_t first_seq, last_seq   # of its records; last_seq = first_seq - 1: it has no record
    cdef readonly uint64_t first_ns, last_ns     # lowest and highest ts_in of its records, 0 if it has none
    cdef readonly uint32_t count                 # frames
    cdef readonly str missing
    cdef const uint8_t* at                       # BORROWED: valid as long as somebody holds the Block
    cdef size_t nbytes
    cdef uint8_t* _memory


cdef class StoreReader:
    cdef readonly object folder
    cdef readonly uint64_t epoch                 # of the last block
    cdef readonly uint64_t next_seq              # of the record that comes next in that epoch; 0: whatever is there
    cdef object _there                           # the segments in the folder
    cdef SegmentFile _file
    cdef TopicTable _topics
    cdef object _segment                         # which one that file is
    cdef uint64_t _offset                        # in it, of the next block
    cdef tuple _wanted                           # (epoch, seq, time_ns) to begin at; None: begun
    cdef bint _last_look                         # a later segment is there: what this one has now is all
    cdef str _absent                             # why that is missing which lies before this file
    cdef bint _learned_all                       # of this epoch's topics, in all of its segments
    cdef list _spare

    cpdef Block read_block(self)
    # Schema and symbol of a topic id in the epoch of the last block; NULL: not known there. BORROWED until the next
    # read_block() or seek().
    cdef const tc_topic_entry* entry(self, uint32_t topic_id) noexcept nogil

    cdef Block _spare_block(self)
    cdef bint _begin(self) except -1
    cdef bint _skip(self) except -1
    cdef bint _turn(self) except -1
    cdef int _learn_all(self) except -1
    cdef bint _open(self, object segment, uint64_t seq, uint64_t time_ns) except -1
