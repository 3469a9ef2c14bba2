# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The link over ZeroMQ, tcp, ipc and PGM: a SUB socket read in native code through the libzmq that pyzmq loaded.

Subscriptions go out in the order in which they are asked for, `heartbeat|` last, and a publisher answers a new
`heartbeat|` at once: the first heartbeat proves that all of them hold. libzmq reconnects and subscribes again by
itself, then in alphabetical order, which proves nothing; what was missed meanwhile shows in the numbering.

Over PGM nobody hears of a subscription: this end alone chooses from what goes to the group. A heartbeat proves that the
group's packets come here; there is no connection that could be closed, and silence is all that tells of an end.
"""

from libc.errno cimport EAGAIN, EINTR
from libc.stdlib cimport free, malloc, realloc

from bots.links.frames cimport TAKE_CLOSED, TAKE_FRAME, TAKE_NONE
from bots.links.link cimport Link
from feed.clock cimport mono_ns
from feed.wire.frames cimport TC_WIRE_HEARTBEAT, tc_wire_frame, tc_wire_parse
from feed.wire.libzmq cimport ZMQ_DONTWAIT, handle, table

import zmq
from zmq.utils.monitor import recv_monitor_message

from feed.wire.pgm import apply, guard, parse_group
from feed.wire.topics import HEARTBEAT

cdef enum:
    EARLY_MAX = 1 << 16         # frames kept while the proof is awaited; by then it streams anyhow
    RCVTIMEO = 27               # zmq_setsockopt(3)

FRAME_BYTES_MAX = 64 << 20      # more than a frame of 65,535 of the longest records has


cdef class ZmqLink(FrameLink):
    """A link on the publisher at `endpoint`. `prefixes`: what to subscribe, see Pattern.prefix().

    :param hwm: messages that libzmq keeps for us before it drops (the publisher's end has its own).
    :param window: of PGM, whose endpoint has the address of an interface of this host (feed.wire.pgm.here).
    :raises zmq.ZMQError: the endpoint is none.
    """

    def __init__(self, str endpoint, prefixes, hwm: int = 100_000, window=None) -> None:
        self.transport = endpoint.partition("://")[0]
        self.endpoint = endpoint
        self.receive_timeout_ms = -1
        self._connected = True
        self._context = zmq.Context(io_threads=1)
        self._socket = socket = self._context.socket(zmq.SUB)
        try:
            socket.linger = 0
            socket.rcvhwm = hwm
            socket.maxmsgsize = FRAME_BYTES_MAX
            # libzmq adds a random part to each wait, so that a feed that comes back is not met by all bots at once.
            socket.reconnect_ivl = 100
            socket.reconnect_ivl_max = 5000
            if self.transport == "tcp":
                socket.ipv6 = "[" in endpoint
                socket.tcp_keepalive = 1
                socket.tcp_keepalive_idle = 10
                socket.tcp_keepalive_intvl = 5
                socket.tcp_keepalive_cnt = 3
                # A peer that vanished without a word is let go of, and connected to again.
                socket.heartbeat_ivl = 2000
                socket.heartbeat_timeout = 6000
            if window is not None:
                apply(window, socket)
            else:
                self._monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
            # A socket that subscribes first sends its subscriptions sorted when it connects; one that connects first
            # sends them as they are asked for. Beyond the high-water mark it would drop subscriptions, and tell nobody.
            socket.sndhwm = 0
            socket.connect(endpoint)
            if self.transport == "epgm":
                guard(parse_group(endpoint))
            for prefix in prefixes:
                socket.subscribe(prefix)
            socket.subscribe(HEARTBEAT)
            self.zmq = table()
            self.handle = handle(socket)
        except BaseException:
            self.close()
            raise
        self.zmq.msg_init(&self.message)
        self.made = True
        self.current = &self.message

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.early_at, self.early_count):
            self.zmq.msg_close(self.early[i])
            free(self.early[i])
        if self.made:
            self.zmq.msg_close(&self.message)
        free(self.early)

    # --- reading ----------------------------------------------------------------------------------------------------

    cdef int take(self, const uint8_t** at, size_t* nbytes) noexcept nogil:
        if not self._take():
            return TAKE_CLOSED if self.error else TAKE_NONE
        at[0] = <const uint8_t*>self.zmq.msg_data(self.current)
        nbytes[0] = self.zmq.msg_size(self.current)
        return TAKE_FRAME

    cdef bint _take(self) noexcept nogil:
        """Make the next whole message `current`; false when there is none."""
        cdef bint more
        while True:
            if self.current != &self.message:
                self.zmq.msg_close(self.current)
                free(self.current)
                self.current = &self.message
            if self.early_at < self.early_count:
                self.current = self.early[self.early_at]
                self.early_at += 1
            elif self.waiting:
                self.waiting = False
            elif not self._receive(&self.message, ZMQ_DONTWAIT):
                return False
            # Our frames have one part. All parts of anything else are passed over.
            more = self.zmq.msg_more(self.current) != 0
            if more or self.partial:
                self.malformed += not more
                self.partial = more
                continue
            return True

    cdef bint _receive(self, zmq_msg_t* into, int flags) noexcept nogil:
        cdef int error
        if self.handle == NULL:
            return False
        if self.zmq.msg_recv(into, self.handle, flags) >= 0:
            return True
        error = self.zmq.errno_()
        if error != EAGAIN and error != EINTR:
            self.error = error
        return False

    cdef bint wait(self, uint64_t timeout_ns, bint spin) noexcept nogil:
        cdef uint64_t deadline
        if self.pending or self.waiting or self.early_at < self.early_count:
            return True
        if self.handle == NULL:
            return Link.wait(self, timeout_ns, spin)
        if self.current != &self.message:
            self.zmq.msg_close(self.current)
            free(self.current)
            self.current = &self.message
        if not spin:
            self.waiting = self._receive(&self.message, self._timeout(timeout_ns))
            return self.waiting
        deadline = mono_ns() + timeout_ns
        while not self._receive(&self.message, ZMQ_DONTWAIT):
            if self.error or mono_ns() > deadline:
                return False
        self.waiting = True
        return True

    cdef int _timeout(self, uint64_t timeout_ns) noexcept nogil:
        """Let a receive block so long; gives the flags for it. In whole milliseconds: libzmq knows no less."""
        cdef int ms = <int>min((timeout_ns + 999_999) // 1_000_000, <uint64_t>1_000_000)
        if ms == 0:
            return ZMQ_DONTWAIT
        if ms != self.receive_timeout_ms:
            self.zmq.setsockopt(self.handle, RCVTIMEO, &ms, sizeof(ms))
            self.receive_timeout_ms = ms
        return 0

    # --- the proof --------------------------------------------------------------------------------------------------

    def prove(self, timeout_ns: int) -> bool:
        """Wait until every subscription is proved to be in force, at most `timeout_ns`; frames that come are kept."""
        cdef uint64_t rest = timeout_ns
        cdef uint64_t deadline = mono_ns() + rest
        cdef tc_wire_frame frame
        cdef zmq_msg_t* message
        cdef zmq_msg_t** grown
        cdef uint64_t now
        cdef bint got
        while not self.proved and self.handle != NULL and not self.error:
            now = mono_ns()
            if now >= deadline:
                return False
            if self.early_count == self.early_room:
                if self.early_room == EARLY_MAX:
                    return True
                grown = <zmq_msg_t**>realloc(self.early, 2 * max(self.early_room, <uint32_t>32) * sizeof(zmq_msg_t*))
                if grown == NULL:
                    raise MemoryError
                self.early = grown
                self.early_room = 2 * max(self.early_room, <uint32_t>32)
            message = <zmq_msg_t*>malloc(sizeof(zmq_msg_t))
            if message == NULL:
                raise MemoryError
            self.zmq.msg_init(message)
            rest = deadline - now
            self.busy = True
            with nogil:
                got = self._receive(message, self._timeout(rest))
            self.busy = False
            if not got:
                self.zmq.msg_close(message)
                free(message)
                return False
            self.early[self.early_count] = message
            self.early_count += 1
            if tc_wire_parse(<const uint8_t*>self.zmq.msg_data(message), self.zmq.msg_size(message), &frame) == 0:
                self.proved = frame.kind == TC_WIRE_HEARTBEAT
                self.signs += self.proved
        return self.proved

    # --- the other side ---------------------------------------------------------------------------------------------

    def gone(self) -> bool:
        """Has the publisher hung up, and not been reached again?"""
        while self._monitor is not None and not self._monitor.closed and self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            self._connected = event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return not self._connected

    def fileno(self) -> int:
        return self._socket.getsockopt(zmq.FD)

    def close(self) -> None:
        self.handle = NULL
        if self._socket.closed:
            return
        if self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
        self._socket.close(linger=0)
        self._context.term()
