"""Table of contents of the link over ZeroMQ, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bots.links.frames cimport FrameLink
from feed.wire.libzmq cimport LibZmq, zmq_msg_t


cdef class ZmqLink(FrameLink):
    cdef const LibZmq* zmq
    cdef void* handle
    cdef zmq_msg_t message          # received last by next() or wait()
    cdef zmq_msg_t* current         # what `frame` lies in: `message` or an early one
    cdef zmq_msg_t** early          # received while open() waited for the proof
    cdef uint32_t early_count, early_at, early_room
    cdef bint made, waiting, partial
    cdef int receive_timeout_ms
    cdef int error                  # libzmq's errno once the socket is of no use
    cdef object _context, _socket, _monitor, _connected

    cdef bint _receive(self, zmq_msg_t* into, int flags) noexcept nogil
    cdef bint _take(self) noexcept nogil
    cdef int _timeout(self, uint64_t timeout_ns) noexcept nogil
