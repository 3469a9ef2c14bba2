# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Does the sequencer live? Its signs of life are `alive_ns` and the tail of the log (README.md, "Signs of life").

What counts is when they were last seen to change, by this process' monotonic clock: setting the wall clock neither kills
a feed nor revives one.
"""

from feed.clock cimport mono_ns, wall_ns
from feed.log.fences cimport tc_read_published

cdef uint64_t LOOK_NS = 10_000_000      # the words lie beside those that the writer stores with each batch: it would pay


cdef class Life:
    """Watches the writer of the log that `reader` reads, until the reader is closed; used by one thread."""

    def __init__(self, LogReader reader not None) -> None:
        cdef uint64_t now = mono_ns()
        cdef uint64_t wall = wall_ns()
        cdef uint64_t last
        self.reader = reader
        self.alive_ns = tc_read_published(&reader.header.alive_ns)
        self.tail = tc_read_published(&reader.header.tail)
        last = max(self.alive_ns, tc_read_published(&reader.header.tail_ns))
        self.changed_ns = now - min(now, wall - min(wall, last))
        self.looked_ns = now

    cdef uint64_t silent_ns(self, uint64_t now) noexcept nogil:
        cdef uint64_t alive_ns, tail
        if now - self.looked_ns >= LOOK_NS and self.reader.header != NULL:
            self.looked_ns = now
            alive_ns = tc_read_published(&self.reader.header.alive_ns)
            tail = tc_read_published(&self.reader.header.tail)
            if alive_ns != self.alive_ns or tail != self.tail:
                self.alive_ns = alive_ns
                self.tail = tail
                self.changed_ns = now
        return now - self.changed_ns

    def silent(self) -> int:
        """For how long there has been no sign of life, ns; 10 ms more or less."""
        return self.silent_ns(mono_ns())
