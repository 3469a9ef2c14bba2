"""Table of contents of conflation, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from bots.links.link cimport Link, run_t

# A run that is kept. Indices are 1 + place in `kept`, 0: none.
ctypedef struct kept_t:
    run_t run               # `records` and `trailer` are set when it is handed out
    uint64_t due            # topic_seq that continues it
    size_t at               # of its bytes in `bytes`
    uint32_t before, after  # in the order of arrival


cdef class Conflate(Link):
    cdef Link source
    cdef uint64_t states            # bit per schema id
    cdef uint64_t behind_ns
    cdef uint32_t unlooked, pause   # runs until the next look at the clock; between two looks now
    cdef bint holding               # something is kept or parked: nothing is asked of the source
    cdef run_t parked               # what ended the drain, still the source's
    cdef int parked_what            # LINK_*; LINK_NONE: nothing is parked
    # --- what is kept ---
    cdef kept_t* kept
    cdef uint32_t kept_count, kept_room
    cdef uint32_t first, last       # indices
    cdef uint8_t* bytes
    cdef size_t used, room
    cdef uint32_t* open             # by topic: index of the state that the next run of it replaces
    cdef uint32_t open_room
    cdef readonly uint64_t folded   # ticks that newer ones replaced here
    cdef readonly uint64_t drains   # times that we were behind

    cdef int _look(self, run_t* out) noexcept nogil
    cdef void _drain(self, const run_t* first) noexcept nogil
    cdef int _keep(self, const run_t* run) noexcept nogil
    cdef int _keep_state(self, const run_t* run) noexcept nogil
    cdef kept_t* _append(self, const run_t* run, size_t nbytes) noexcept nogil
    cdef int _hand_out(self, run_t* out) noexcept nogil
