"""Table of contents of the link over ZeroMQ, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from bots.links.link cimport Link, run_t
from feed.wire.frames cimport tc_wire_frame
from feed.wire.libzmq cimport LibZmq, zmq_msg_t

cdef enum:
    KEY_ROOM = 88           # a topic has at most 85 bytes

ctypedef struct key_t:
    uint64_t hash
    uint16_t schema
    uint8_t choice          # TOPIC_*
    uint8_t length
    uint8_t text[KEY_ROOM]


cdef class ZmqLink(Link):
    cdef const LibZmq* zmq
    cdef void* handle
    cdef zmq_msg_t message          # received last by next() or wait()
    cdef zmq_msg_t* current         # what `frame` lies in: `message` or an early one
    cdef zmq_msg_t** early          # received while open() waited for the proof
    cdef uint32_t early_count, early_at, early_room
    cdef bint made, waiting, pending, partial
    cdef int receive_timeout_ms
    cdef int error                  # libzmq's errno once the socket is of no use
    cdef tc_wire_frame frame
    # --- topics seen: keys by index, and a hash table of 1 + index ---
    cdef key_t* keys
    cdef uint32_t* slots
    cdef uint32_t key_count, key_room, slot_mask
    cdef uint32_t last              # index of the last frame's topic
    cdef object _context, _socket, _monitor, _connected
    cdef readonly str endpoint
    cdef readonly bint proved       # every subscription is in force

    cdef bint _receive(self, zmq_msg_t* into, int flags) noexcept nogil
    cdef int _parse(self, zmq_msg_t* message, tc_wire_frame* out) noexcept nogil
    cdef bint _take(self) noexcept nogil
    cdef int _find(self) noexcept nogil
    cdef bint _grow(self) noexcept nogil
    cdef int _timeout(self, uint64_t timeout_ns) noexcept nogil
