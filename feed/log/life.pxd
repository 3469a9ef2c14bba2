"""Table of contents of the watch over the sequencer's life, for cimport."""

from libc.stdint cimport uint64_t

from feed.log.reader cimport LogReader


cdef class Life:
    cdef LogReader reader
    cdef uint64_t alive_ns, tail    # as found last
    cdef uint64_t changed_ns        # monotonic: when they were found to be others than before
    cdef uint64_t looked_ns         # monotonic

    # For how long the sequencer has given no sign of life, as far as this watch has seen; `now` is monotonic. Cheap enough
    # for every turn of a loop.
    cdef uint64_t silent_ns(self, uint64_t now) noexcept nogil


cdef inline uint64_t tc_patience_ns(uint64_t heartbeat_ns) noexcept nogil:
    """How long a sequencer may be silent before a publisher with this heartbeat takes it for dead, ns.

    Half a heartbeat, so that bots that wait one and a half for the next know it within two; but not so little that a
    busy machine looks dead.
    """
    return max(heartbeat_ns // 2, <uint64_t>300_000_000)
