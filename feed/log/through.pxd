"""A sink in front of another one, for cimport."""

from libc.stdint cimport uint64_t

from feed.log.sink cimport Sink

cdef enum:
    TOOK = 1
    LEFT_OUT = 2    # append: dealt with, but not put in; neither is it to be tried again


cdef class Through(Sink):
    cdef Sink into


cdef class Restamped(Through):
    cdef public uint64_t ts_in    # of whatever passes; 0: the sink behind stamps it


# The sink at the end: the log or the ring itself.
cdef Sink at_the_end(Sink sink)
