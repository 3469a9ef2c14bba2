# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The outlet to multicast groups: frames go into MoldUDP64 datagrams, and these out on every line.

A frame of a record is a message of its topic's shard and takes its next sequence. Frames without records (heartbeats,
empty frames of quiet topics) are no messages: they stand behind the header of a Mold heartbeat, a datagram of count 0,
in which no receiver looks for any. What is at hand when flush() is called shares datagrams up to the MTU; nothing waits.

Datagrams that the kernel has no room for are pending, and go first. One that the network refuses is counted, and gone: it
can be asked for. A shard that was quiet for long says a bare heartbeat, whether the feed lives or not, as the protocol
wants; so is the end of a session said, several times.
"""

from libc.errno cimport EAGAIN, EINTR, EMSGSIZE, ENOMEM
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove, memset

from feed.clock cimport wall_ns
from feed.metrics.counters cimport tc_counter_add
from feed.metrics.histogram cimport Histogram, tc_histogram_record_n
from feed.publish.outlet cimport NO_TOPIC
from feed.wire.mold cimport TC_MOLD_END, TC_MOLD_HEADER, TC_MOLD_LENGTH, tc_mold_put_header, tc_mold_put_length
from feed.wire.multicast cimport tc_address, tc_burst_put, tc_burst_send, tc_wait

import os

from feed.errors import HostError

cdef extern from "<poll.h>" nogil:
    short POLLOUT

cdef enum:
    EPOCH = 8               # offsets in the frame's header
    SEQ = 16
    TS_SENT = 40
    OVER_TIMES = 4          # how often the end of a session is said, once a heartbeat

cdef uint64_t LOOK_NS = 1_000_000       # between two looks for what is quiet
cdef const char* DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


cdef class DatagramOutlet(Outlet):
    """`sockets` (descriptors, one a line) have interface, TTL and loopback set, are connected if there is but one shard,
    and must outlive it; `groups`: for each line, for each shard, the group's four bytes and the port. `payload_bytes`: of a
    datagram at most; `batch`: messages in one.

    Used by one thread. `network` counts messages that the network refused.
    """

    def __init__(
        self,
        sockets,
        groups,
        shards,
        Numbering numbering not None,
        *,
        payload_bytes: int,
        batch: int,
        heartbeat_ns: int,
        Counter sent not None,
        Counter network not None,
        Histogram publish,
    ) -> None:
        cdef uint32_t i, line, shard
        cdef bytes host
        self.lines = len(sockets)
        self.shards = shards
        self.numbering = numbering
        self.batch = min(batch, BLOCKS_MAX)
        self.room = payload_bytes
        self.quiet_ns = heartbeat_ns + heartbeat_ns // 2
        self._sent = sent
        self._network = network
        self._publish = publish
        self.groups = <sockaddr_in*>calloc(self.lines * numbering.shards, sizeof(sockaddr_in))
        self.burst = <tc_burst*>calloc(1, sizeof(tc_burst))
        self.pool = <datagram_t*>calloc(POOL, sizeof(datagram_t))
        self.memory = <uint8_t*>calloc(POOL, self.room)
        if self.groups == NULL or self.burst == NULL or self.pool == NULL or self.memory == NULL:
            raise MemoryError
        for line in range(self.lines):
            self.fds[line] = sockets[line]
            for shard in range(numbering.shards):
                host, port = groups[line][shard]
                tc_address(
                    &self.groups[line * numbering.shards + shard], (<const uint32_t*><const char*>host)[0], port)
        for i in range(POOL):
            self.pool[i].data = self.memory + <size_t>i * self.room
            self.spare[i] = i
        self.spares = POOL

    def __dealloc__(self) -> None:
        free(self.groups)
        free(self.burst)
        free(self.pool)
        free(self.memory)
        free(self.shard_of)

    # --- sessions ---------------------------------------------------------------------------------------------------

    def resume(self, seq: int, position: int) -> None:
        """Go on with the session that the numbering has; the next record is `seq`, at `position` in the log."""
        self.next_seq = seq
        self.next_at = position

    def begin(self, epoch: int, seq: int, position: int) -> None:
        """Another session: the log is another, or it is not known how many records went by."""
        self._begin(epoch, seq, position)

    cdef void _begin(self, uint64_t epoch, uint64_t seq, uint64_t position) noexcept nogil:
        cdef uint32_t shard
        if self.numbering.header.versions and self.numbering.session[0]:
            for shard in range(self.numbering.shards):
                self.over[shard] = self.numbering.next[shard]
            self.numbering.name(0, self.over_name)
            self.over_left = OVER_TIMES
            self.over_due_ns = 0
        self.numbering.begin(epoch, wall_ns(), seq, position)
        self.next_seq = seq
        self.next_at = position
        self.broken = False
        if self.shard_of != NULL:       # topic ids are another log's
            memset(self.shard_of, 0, self.topic_room)

    cdef void lost(self) noexcept nogil:
        self.broken = True

    # --- frames -----------------------------------------------------------------------------------------------------

    cdef uint8_t* make(self, size_t size, uint32_t topic_length, uint32_t count, uint64_t committed) noexcept nogil:
        # Aside: which shard it goes to, its topic will say.
        if size > FRAME_ROOM or size > self.room - TC_MOLD_HEADER - TC_MOLD_LENGTH:
            self.error = EMSGSIZE
            return NULL
        self.count = count
        self.committed = committed
        self.stamp_at = topic_length + TS_SENT
        self.making = <uint32_t>size
        return self.frame

    cdef void discard(self) noexcept nogil:
        self.making = 0

    cdef bint send(self, uint64_t now) noexcept nogil:
        cdef uint64_t epoch, seq
        cdef uint32_t shard
        memcpy(&epoch, self.frame + self.stamp_at - TS_SENT + EPOCH, sizeof(epoch))
        memcpy(&seq, self.frame + self.stamp_at - TS_SENT + SEQ, sizeof(seq))
        if self.topic == NO_TOPIC:
            for shard in range(self.numbering.shards):
                self._put(shard, True)
        else:
            if self.topic >= self.topic_room or self.shard_of[self.topic] == 0:
                if not self._learn():
                    self.error = ENOMEM
                    return False
            shard = self.shard_of[self.topic] - 1
            if self.count and self.broken:
                self._close_all()
                self._begin(epoch, seq, self.at)
                if not self._learn():
                    self.error = ENOMEM
                    return False
            self._put(shard, self.count == 0)
        return not self.pending

    cdef void _put(self, uint32_t shard, bint news) noexcept nogil:
        """The frame at hand goes into a datagram of the shard, an open one if it has room."""
        cdef datagram_t* datagram
        cdef uint64_t seq = 0
        if self.open[shard]:
            datagram = &self.pool[self.open[shard] - 1]
            if (
                datagram.news != news
                or datagram.blocks == (BLOCKS_MAX if news else self.batch)
                or datagram.used + TC_MOLD_LENGTH + self.making > self.room
            ):
                self._close(shard)
        if not self.open[shard]:
            if self.spares == 0:        # nothing goes out, and this is no record: those wait before it comes so far
                return
            self.spares -= 1
            self.open[shard] = 1 + self.spare[self.spares]
            datagram = &self.pool[self.spare[self.spares]]
            datagram.used = TC_MOLD_HEADER
            datagram.blocks = 0
            datagram.shard = shard
            datagram.news = news
            datagram.sequence = self.numbering.next[shard]
            datagram.committed = self.committed
        datagram = &self.pool[self.open[shard] - 1]
        datagram.stamps[datagram.blocks] = <uint16_t>(datagram.used + TC_MOLD_LENGTH + self.stamp_at)
        memcpy(tc_mold_put_length(datagram.data + datagram.used, self.making), self.frame, self.making)
        datagram.used += TC_MOLD_LENGTH + self.making
        datagram.blocks += 1
        if not news:
            memcpy(&seq, self.frame + self.stamp_at - TS_SENT + SEQ, sizeof(seq))
            self.numbering.number(shard, seq, self.at)
            self.next_seq = seq + 1
            self.next_at = self.at

    cdef bint _learn(self) noexcept nogil:
        """Which shard the topic of the frame at hand is in; false: no memory."""
        cdef uint32_t room = max(2 * self.topic_room, self.topic + 64)
        cdef uint8_t* grown
        if self.topic >= self.topic_room:
            grown = <uint8_t*>realloc(self.shard_of, room)
            if grown == NULL:
                return False
            memset(grown + self.topic_room, 0, room - self.topic_room)
            self.shard_of = grown
            self.topic_room = room
        with gil:   # once for each topic
            text = (<const char*>self.frame)[: self.stamp_at - TS_SENT - 1].decode("ascii")
            self.shard_of[self.topic] = 1 + <uint8_t>self.shards.of(text.partition(".")[2])
        return True

    # --- datagrams --------------------------------------------------------------------------------------------------

    cdef void _close(self, uint32_t shard) noexcept nogil:
        """A shard's open datagram takes no more: it is queued."""
        cdef datagram_t* datagram = &self.pool[self.open[shard] - 1]
        cdef uint8_t session[10]
        self.numbering.name(shard, session)
        tc_mold_put_header(datagram.data, session, datagram.sequence, 0 if datagram.news else datagram.blocks)
        self._queue(self.open[shard] - 1)
        self.open[shard] = 0

    cdef void _close_all(self) noexcept nogil:
        cdef uint32_t shard
        for shard in range(self.numbering.shards):
            if self.open[shard]:
                self._close(shard)

    cdef void _bare(self, uint32_t shard, const uint8_t* session, uint64_t sequence, uint32_t count) noexcept nogil:
        """A datagram that is only a header."""
        cdef datagram_t* datagram
        if self.spares == 0:
            return
        self.spares -= 1
        datagram = &self.pool[self.spare[self.spares]]
        datagram.used = TC_MOLD_HEADER
        datagram.blocks = 0
        datagram.shard = shard
        datagram.news = True
        datagram.committed = 0
        tc_mold_put_header(datagram.data, session, sequence, count)
        self._queue(self.spare[self.spares])

    cdef void _queue(self, uint32_t index) noexcept nogil:
        self.queue[self.queued] = index
        self.queued += 1
        if self.queued >= QUEUE and not self.pending:
            self._transmit()

    cdef bint _transmit(self) noexcept nogil:
        """Send what is queued; false: the kernel has no room for all of it."""
        self.pending = False
        while self.queued:
            if not self._transmit_burst():
                self.pending = True
                return False
        return True

    cdef bint _transmit_burst(self) noexcept nogil:
        """The first few of the queue, on one line after the other."""
        cdef datagram_t* datagram
        cdef uint64_t now = wall_ns()
        cdef uint32_t i, k
        cdef int n
        if self.burst_end == 0:
            self.burst_end = min(self.queued, <uint32_t>QUEUE)
        for i in range(self.gone if self.line_at == 0 else self.burst_end, self.burst_end):
            datagram = &self.pool[self.queue[i]]
            for k in range(datagram.blocks):
                memcpy(datagram.data + datagram.stamps[k], &now, sizeof(now))
        while self.line_at < self.lines:
            for i in range(self.burst_end):
                datagram = &self.pool[self.queue[i]]
                tc_burst_put(
                    self.burst, i, datagram.data, datagram.used,
                    &self.groups[self.line_at * self.numbering.shards + datagram.shard] if self.numbering.shards > 1 else NULL)
            while self.gone < self.burst_end:
                n = tc_burst_send(self.burst, self.fds[self.line_at], self.gone, self.burst_end)
                self.calls += 1
                if n > 0:
                    for i in range(self.gone, self.gone + n):
                        self.sent_bytes += self.pool[self.queue[i]].used
                    self.datagrams += n
                    self.gone += n
                elif n == -EAGAIN or n == -EINTR:
                    return False
                else:
                    datagram = &self.pool[self.queue[self.gone]]
                    tc_counter_add(self._network.slot, 1 if datagram.news else datagram.blocks)
                    self.gone += 1
            self.gone = 0
            self.line_at += 1
        self.line_at = 0
        for i in range(self.burst_end):
            datagram = &self.pool[self.queue[i]]
            if not datagram.news:
                tc_counter_add(self._sent.slot, datagram.blocks)
                if datagram.committed and self._publish is not None:
                    tc_histogram_record_n(self._publish.h, <int64_t>(now - datagram.committed), datagram.blocks)
            self.spare[self.spares] = self.queue[i]
            self.spares += 1
            self.said_ns[datagram.shard] = 0
        self.queued -= self.burst_end
        memmove(&self.queue[0], &self.queue[self.burst_end], self.queued * sizeof(uint32_t))
        self.burst_end = 0
        return True

    cdef void flush(self) noexcept nogil:
        self._close_all()
        if self._transmit() and self.next_seq:
            self.numbering.note(self.next_seq, self.next_at)

    cdef bint again(self) noexcept nogil:
        return self._transmit()

    cdef bint wait(self, uint64_t timeout_ns) noexcept nogil:
        tc_wait(&self.fds[min(self.line_at, self.lines - 1)], 1, POLLOUT, timeout_ns)
        return self._transmit()

    # --- what the protocol wants besides ----------------------------------------------------------------------------

    cdef bint hear(self, uint64_t now) noexcept nogil:
        """Nobody subscribes to a group: everything is wanted from the first turn on."""
        cdef bint first = not self.greeted
        cdef uint32_t shard
        cdef uint8_t session[10]
        self.greeted = True
        if now - self.looked_ns < LOOK_NS or self.pending:
            return first
        self.looked_ns = now
        for shard in range(self.numbering.shards):
            if self.said_ns[shard] == 0:
                self.said_ns[shard] = now
            elif now - self.said_ns[shard] > self.quiet_ns and not self.pending:
                self.numbering.name(shard, session)
                self._bare(shard, session, self.numbering.next[shard], 0)
        if self.over_left and now >= self.over_due_ns and not self.pending:
            self.over_left -= 1
            self.over_due_ns = now + self.quiet_ns
            for shard in range(self.numbering.shards):
                memcpy(session, self.over_name, 10)
                session[8] = DIGITS[shard // 36]
                session[9] = DIGITS[shard % 36]
                self._bare(shard, session, self.over[shard], TC_MOLD_END)
        if not self.pending:
            self._transmit()
        return first

    cdef bint listen(self) noexcept nogil:
        return False

    cdef bytes heard(self):
        return b"\x01"

    cdef int check(self) except -1:
        if self.error:
            raise HostError("a frame can't be sent in one datagram", found=os.strerror(self.error), remedy="Set a larger mtu")
        return 0
