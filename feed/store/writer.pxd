"""Table of contents of the archive files' writer, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from feed.log.reader cimport LogReader
from feed.store.tail cimport Tail


cdef class StoreWriter:
    cdef readonly list cut
    cdef readonly dict missed                    # records recorded as missing, by cause
    cdef Tail _tail
    cdef object _lock
    cdef bint _doubted                           # begin() could not make durable what it found
    cdef uint8_t* _memory                        # of the block that is being made

    cdef bint _lead(self, LogReader reader) except -1
    cdef uint32_t _gather(self, LogReader reader, uint64_t limit) noexcept nogil
    cdef uint32_t _describe(self, uint32_t nbytes) noexcept nogil
    cdef int _put_missing(self, uint64_t first, uint64_t last, bytes cause) except -1
