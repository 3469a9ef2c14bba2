# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""A sink in front of another one: looks at what passes, or adds to it. Topic ids are those of the sink behind it."""

from libc.stdint cimport uint16_t, uint32_t


cdef class Through(Sink):
    """Passes everything on as it is: what is made from it changes that."""

    def __cinit__(self, Sink into not None, *args, **kwargs):
        self.into = into

    cdef int append(self, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil:
        return self.into.append(topic, record, nbytes, ts_in, flags)

    cdef void flush(self) noexcept nogil:
        self.into.flush()

    def topic(self, schema: str, symbol: str) -> int:
        return self.into.topic(schema, symbol)


cdef class Restamped(Through):
    """Gives whatever passes another ts_in: for what comes once more."""

    cdef int append(self, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil:
        return self.into.append(topic, record, nbytes, self.ts_in, flags)


cdef Sink at_the_end(Sink sink):
    while isinstance(sink, Through):
        sink = (<Through>sink).into
    return sink
