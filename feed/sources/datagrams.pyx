# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The datagrams of one socket, many at a time, into the lines of ITCH: no object, no lock and no call per datagram."""

from libc.errno cimport EAGAIN, EINTR, ECONNREFUSED
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from feed.normalize.itch_lines cimport LINES_OTHER, ItchLines
from feed.wire.multicast cimport TC_BURST, tc_burst, tc_burst_arm, tc_burst_length, tc_burst_receive

import os

cdef enum:
    ROOM = 65536      # bytes for each: no datagram is cut off


cdef class Datagrams:
    """Of the socket `fd`, which stays the caller's. `count` were received last, `taken` of them were given on."""

    cdef uint8_t* room
    cdef tc_burst burst
    cdef readonly int fd
    cdef readonly int count
    cdef readonly int taken

    def __cinit__(self, fd: int):
        self.fd = fd
        self.room = <uint8_t*>malloc(<size_t>TC_BURST * ROOM)  # pages come as they are used
        if self.room is NULL:
            raise MemoryError
        tc_burst_arm(&self.burst, self.room, ROOM)

    def __dealloc__(self):
        free(self.room)

    def receive(self) -> int:
        """Take in those that wait; how many. Raises OSError."""
        cdef int n
        with nogil:
            n = tc_burst_receive(&self.burst, self.fd)
        self.taken = 0
        self.count = max(n, 0)
        if n < 0 and -n not in (EAGAIN, EINTR, ECONNREFUSED):
            raise OSError(-n, os.strerror(-n))
        return self.count

    def give(self, ItchLines lines not None, line: int, now_ns: int) -> bool:
        """Give them on to `line`; False: the one behind those that are `taken` now is of another session."""
        cdef uint32_t on = line
        cdef uint64_t now = now_ns
        cdef int result = 0
        if not 0 <= line < lines.arbiter.line_count:
            raise IndexError("there is no such line")
        with nogil:
            while self.taken < self.count and result != LINES_OTHER:
                result = lines.offer(
                    on, self.room + <size_t>self.taken * ROOM, tc_burst_length(&self.burst, self.taken), now)
                if result != LINES_OTHER:
                    self.taken += 1
        return result != LINES_OTHER

    def payload(self, i: int) -> bytes:
        """A copy of the `i`-th of those received last."""
        if not 0 <= i < self.count:
            raise IndexError("there is no such datagram")
        return (<const char*>self.room)[<size_t>i * ROOM : <size_t>i * ROOM + tc_burst_length(&self.burst, i)]

    def leave(self) -> None:
        """Leave the next one out."""
        self.taken += 1
