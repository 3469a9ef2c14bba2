"""Table of contents of the archive files' writer, for cimport."""

from libc.stdint cimport uint64_t


cdef class StoreWriter:
    cdef readonly object folder
    cdef readonly uint64_t epoch
    cdef readonly uint64_t next_seq              # where to go on in this epoch; 0: nothing yet
    cdef readonly uint64_t durable_seq           # all records up to here are on the disk (or recorded as missing); 0: none
