"""A sink in front of another one, for cimport."""

from feed.log.sink cimport Sink

cdef enum:
    TOOK = 1
    LEFT_OUT = 2    # append: dealt with, but not put in; neither is it to be tried again


cdef class Through(Sink):
    cdef Sink into

# The sink at the end: the log or the ring itself.
cdef Sink at_the_end(Sink sink)
