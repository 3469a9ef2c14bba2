"""Table of contents of the archive files' writer, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from feed.log.reader cimport LogReader
from feed.store.index cimport SparseIndex
from feed.store.segment cimport SegmentFile
from feed.store.topics cimport TopicTable


cdef class StoreWriter:
    cdef readonly object folder
    cdef readonly uint64_t epoch
    cdef readonly uint64_t next_seq              # where to go on in this epoch; 0: nothing yet
    cdef readonly uint64_t durable_seq           # all records up to here are on the disk (or recorded as missing); 0: none
    cdef readonly list cut
    cdef object _disk, _lock, _turning
    # The open segment; _fd < 0: the next block begins one.
    cdef object _path
    cdef int _fd
    cdef SparseIndex _index
    cdef uint64_t _held_bytes                    # of frames in it
    cdef uint64_t _safe_end                      # up to here it was synced
    cdef uint64_t _segment_bytes
    cdef list _ended                             # (path, fd, first_seq, safe_end) of those before it that are not synced
    cdef TopicTable _topics
    cdef uint64_t _safe_next                     # next_seq when all was durable
    cdef bint _folder_changed
    cdef bint _distrusted                        # a sync failed: what was not durable before it is to be left
    cdef bint _doubted                           # begin() could not make durable what it found
    cdef str _trouble                            # of the disk, that the next hole comes from; or empty
    cdef unsigned long _owner                    # the thread that takes
    cdef uint8_t* _memory                        # of the block that is being made

    cdef bint _lead(self, LogReader reader) except -1
    cdef uint32_t _gather(self, LogReader reader, uint64_t limit) noexcept nogil
    cdef uint32_t _describe(self, uint32_t nbytes) noexcept nogil
    cdef int _put(self) except -1
    cdef int _put_missing(self, uint64_t first, uint64_t last, bytes cause) except -1
    cdef int _append(self, const uint8_t* block) except -1
    cdef bint _reopen(self, SegmentFile file) except -1
