"""The end of an archive, for cimport."""

from libc.stdint cimport uint8_t, uint64_t

from feed.store.index cimport SparseIndex
from feed.store.topics cimport TopicTable


cdef class Tail:
    cdef readonly object folder
    cdef readonly uint64_t epoch                 # 0: none is begun
    cdef readonly uint64_t next_seq              # where to go on in it; 0: nothing yet
    cdef readonly uint64_t durable_seq
    cdef readonly object disk
    cdef TopicTable topics                       # of this epoch, as of next_seq
    # The open segment; fd < 0: the next block begins one.
    cdef readonly object path
    cdef int fd
    cdef SparseIndex index
    cdef uint64_t held_bytes                     # of frames in it
    cdef uint64_t segment_bytes                  # a segment that holds so many is full
    cdef readonly str trouble                    # of the disk, since the last block was written; or empty
    cdef readonly bint distrusted                # a sync failed: settle() has still to leave what was not durable
    cdef list _ended                             # (path, fd, first_seq, safe_end) of segments that are not synced, oldest first
    cdef object _turning                         # held while files are synced, begun or left
    cdef uint64_t _safe_next, _safe_end          # next_seq, and the end of the open segment, when all was durable
    cdef bint _folder_changed
    cdef unsigned long _owner                    # the thread that writes

    # Write the block: kind, flags, nbytes, count, seqs and times of its header are set, and its payload lies behind it.
    cdef int put(self, uint8_t* block) except -1
    cdef int append(self, const uint8_t* block) except -1
