"""Table of contents of one publishing socket, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from feed.metrics.counters cimport Counter
from feed.metrics.histogram cimport Histogram
from feed.wire.libzmq cimport LibZmq, zmq_msg_t

cdef enum:
    NO_TOPIC = 0xFFFFFFFF


cdef class Outlet:
    cdef const LibZmq* zmq
    cdef void* handle
    cdef int fd                       # readable when another thread of libzmq has something to say
    cdef zmq_msg_t out                # made and not sent yet while `made`
    cdef zmq_msg_t event              # what listen() received
    cdef bint made
    cdef readonly bint pending        # the socket had no room: nothing else may be made before this one is sent
    cdef readonly int error           # libzmq's errno once the socket is of no use any more; 0: all is well
    cdef uint32_t stamp_at            # where ts_sent lies in `out`
    cdef uint32_t count               # records in `out`
    cdef uint64_t committed           # when the oldest of them was committed, wall ns; 0: not known
    cdef uint64_t heard_ns            # when hear() last looked, monotonic
    cdef object _socket
    cdef uint32_t topic               # of the frame about to be made: its id, NO_TOPIC for the heartbeat
    cdef uint64_t at                  # position in the log of its first record
    cdef Counter _sent
    cdef Histogram _publish

    # Room for a frame of `size` bytes whose topic has `topic_length` bytes. NULL: no memory, `error` is set.
    cdef uint8_t* make(self, size_t size, uint32_t topic_length, uint32_t count, uint64_t committed) noexcept nogil
    # Nothing more is at hand: what send() has gathered goes out, where the transport gathers at all.
    cdef void flush(self) noexcept nogil
    # Records were lost before the next frame, nobody knows of which topics.
    cdef void lost(self) noexcept nogil
    # Give up what make() made.
    cdef void discard(self) noexcept nogil
    # Stamp the frame with `now` (wall ns) and hand it over. True: it is gone and counted. False: `pending` or `error`.
    cdef bint send(self, uint64_t now) noexcept nogil
    # Send the pending frame, stamped anew. wait(): sleep until there is room for it, at most `timeout_ns`.
    cdef bint again(self) noexcept nogil
    cdef bint wait(self, uint64_t timeout_ns) noexcept nogil
    # Has somebody subscribed or left? Then heard() is the message. hear() looks only so often; `now` is monotonic.
    cdef bint hear(self, uint64_t now) noexcept nogil
    cdef bint listen(self) noexcept nogil
    cdef bytes heard(self)
    # Raise HostError if `error` is set.
    cdef int check(self) except -1

    cdef void _commands(self) noexcept nogil
