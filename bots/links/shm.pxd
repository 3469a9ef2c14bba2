"""Table of contents of the link over shared memory, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from bots.links.link cimport Link, run_t
from feed.log.life cimport Life
from feed.log.reader cimport LogReader

cdef extern from "<semaphore.h>" nogil:
    ctypedef struct sem_t:
        pass


cdef class ShmLink(Link):
    cdef LogReader reader
    cdef Life life
    cdef uint8_t* choice            # TOPIC_*, indexed by topic id
    cdef uint16_t* schemas          # of wanted topics
    cdef uint64_t* floor            # last topic_seq of each topic that there was when we came
    cdef uint32_t floor_count, max_topics
    cdef bint pending               # a frame of a TOPIC_NEW topic waits in the reader
    cdef bint any_unwanted
    cdef uint32_t unreported        # frames since the reader last told its position
    # --- a waiter thread for those who wait on a descriptor ---
    cdef sem_t armed
    cdef int event
    cdef bint stopping
    cdef object _waiter
    cdef dict _known                # (schema id, symbol) -> topic id, as far as it was asked for
    cdef int _writer                # process id of a writer that we saw alive

    cdef int _skip_unwanted(self) noexcept nogil
    cdef int _lost(self) noexcept nogil
