# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""One publishing socket: frames are built straight in its message, stamped when they are handed over, and counted.

With XPUB_NODROP the socket may have no room: the frame is then pending and is tried again, so nothing is lost. Without it
libzmq drops for a subscriber that is too slow and tells nobody; that subscriber counts what it misses.
"""

from libc.errno cimport EAGAIN, EINTR, ENOMEM
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from feed.clock cimport wall_ns
from feed.metrics.counters cimport tc_counter_add
from feed.metrics.histogram cimport tc_histogram_record_n
from feed.wire.libzmq cimport ZMQ_DONTWAIT, ZMQ_EVENTS, ZMQ_FD, handle, table

import zmq

from feed.errors import HostError

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    short POLLIN
    int poll(pollfd* fds, unsigned long n, int timeout_ms)

cdef enum:
    HEAR_NS = 500_000       # between two looks for subscriptions: each costs a system call
    TS_SENT = 40            # its offset in the frame's header


cdef class Outlet:
    """An XPUB socket that is bound already. Used by one thread; the socket must outlive it.

    `sent` counts records; `publish` takes how long each frame's oldest record waited, commit to ts_sent (None: nobody asks).
    """

    def __init__(self, socket: zmq.Socket, Counter sent not None, Histogram publish) -> None:
        self.zmq = table()
        self.handle = handle(socket)
        self.fd = socket.getsockopt(zmq.FD)
        self._socket = socket
        self._sent = sent
        self._publish = publish
        self.zmq.msg_init(&self.event)

    def __dealloc__(self) -> None:
        if self.zmq != NULL:
            self.discard()
            self.zmq.msg_close(&self.event)

    # --- sending ----------------------------------------------------------------------------------------------------

    cdef uint8_t* make(self, size_t size, uint32_t topic_length, uint32_t count, uint64_t committed) noexcept nogil:
        if self.zmq.msg_init_size(&self.out, size) != 0:
            self.error = ENOMEM
            return NULL
        self.made = True
        self.stamp_at = topic_length + TS_SENT
        self.count = count
        self.committed = committed
        return <uint8_t*>self.zmq.msg_data(&self.out)

    cdef void discard(self) noexcept nogil:
        if self.made:
            self.zmq.msg_close(&self.out)
        self.made = self.pending = False

    cdef bint send(self, uint64_t now) noexcept nogil:
        cdef int error
        memcpy(<uint8_t*>self.zmq.msg_data(&self.out) + self.stamp_at, &now, sizeof(now))
        if self.zmq.msg_send(&self.out, self.handle, ZMQ_DONTWAIT) < 0:
            error = self.zmq.errno_()
            if error == EAGAIN or error == EINTR:
                self.pending = True
            else:
                self.error = error
            return False
        self.made = self.pending = False
        if self.count:
            tc_counter_add(self._sent.slot, self.count)
            if self.committed and self._publish is not None:
                tc_histogram_record_n(self._publish.h, <int64_t>(now - self.committed), self.count)
        return True

    cdef void flush(self) noexcept nogil:
        pass        # libzmq's I/O thread gathers

    cdef void lost(self) noexcept nogil:
        pass        # the frames say so

    cdef bint again(self) noexcept nogil:
        return self.send(wall_ns())

    cdef bint wait(self, uint64_t timeout_ns) noexcept nogil:
        # POLLOUT of an XPUB is always set, and a send that blocks would stamp the frame before its wait. The descriptor
        # tells of any command, "there is room again" among them; it is edge-triggered, so look before sleeping (zmq_getsockopt(3)).
        cdef pollfd item
        self._commands()
        if self.again():
            return True
        if self.error:
            return False
        item.fd = self.fd
        item.events = POLLIN
        poll(&item, 1, <int>((timeout_ns + 999_999) // 1_000_000))
        self._commands()
        return self.again()

    # --- hearing ----------------------------------------------------------------------------------------------------

    cdef bint hear(self, uint64_t now) noexcept nogil:
        if now - self.heard_ns < HEAR_NS:
            return False
        self.heard_ns = now
        return self.listen()

    cdef bint listen(self) noexcept nogil:
        cdef int error
        if self.zmq.msg_recv(&self.event, self.handle, ZMQ_DONTWAIT) >= 0:
            return True
        error = self.zmq.errno_()
        if error != EAGAIN and error != EINTR:
            self.error = error
        return False

    cdef bytes heard(self):
        return (<const char*>self.zmq.msg_data(&self.event))[: self.zmq.msg_size(&self.event)]

    cdef int check(self) except -1:
        if self.error:
            raise HostError(
                "the publishing socket failed",
                found=self.zmq.strerror(self.error).decode(),
                where=self._socket.last_endpoint.rstrip(b"\0").decode() if not self._socket.closed else None,
            )
        return 0

    cdef void _commands(self) noexcept nogil:
        """Let libzmq take in what its I/O thread said."""
        cdef int events
        cdef size_t size = sizeof(events)
        self.zmq.getsockopt(self.handle, ZMQ_EVENTS, &events, &size)
