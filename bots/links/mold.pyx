# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The link over our own multicast: MoldUDP64 datagrams of one line or two, read in native code.

Whichever line has a message first gives it; its twin is dropped. What no line brought is a hole in the session's numbering,
and after a moment in which a slower line may still close it, it is asked for by unicast. Nothing else waits for it:

    frame follows the last one of its topic        out at once
    frame does not, and there is a hole before it  waits for its topic's turn, until the hole is closed or given up
    the same without a hole                        out: what is missing was never on its way here, and recovery's to mend

A session is left for another when it has ended, has been silent for long, or the other's frames are of a newer epoch.
Packets of any other are counted and ignored. A heartbeat goes out when every group that was joined has had one and nothing
waits, and says what all of them have reached.
"""

from libc.errno cimport ECONNREFUSED
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from bots.links.frames cimport TAKE_NONE, TAKE_PARSED
from bots.links.link cimport TOPIC_UNWANTED
from feed.clock cimport mono_ns, wall_ns
from feed.wire.arbiter cimport (
    Arbiter,
    arbiter_begin,
    arbiter_complete,
    arbiter_due,
    arbiter_expire,
    arbiter_offer,
    range_t,
)
from feed.wire.frames cimport TC_WIRE_HEARTBEAT, TC_WIRE_TICKS, tc_wire_frame, tc_wire_parse
from feed.wire.mold cimport (
    TC_MOLD_END,
    TC_MOLD_HEADER,
    TC_MOLD_LENGTH,
    TC_MOLD_OK,
    tc_mold_block,
    tc_mold_parse,
    tc_mold_put_header,
    tc_mold_same_session,
)
from feed.wire.multicast cimport (
    TC_BURST,
    tc_burst_arm,
    tc_burst_await,
    tc_burst_length,
    tc_burst_receive,
    tc_burst_stamp,
    tc_send,
    tc_wait,
)
from feed.wire.records cimport TC_SCHEMA_NONE

import select
import socket

from feed.wire.arbiter import Arbiter as _Arbiter
from feed.wire.groups import open_receiver, parse_mold

cdef extern from "<poll.h>" nogil:
    short POLLIN

cdef enum:
    SEQ = 16                    # offset in a frame's header
    JUMP = 1 << 20              # messages: a packet from further ahead is believed when the next one follows it
    WITNESSED = 1 << 16         # messages: of a session that began while we were there all are wanted, if there are no more
    ASKS = 16                   # requests in one look at the holes
    ASKED_MAX = 4096            # messages in one request: what the server gives at most is less

cdef uint64_t MILLISECOND_NS = 1_000_000
cdef uint64_t LOOK_NS = 200_000             # between two looks at the holes
cdef uint64_t ASK_AFTER_NS = 1_000_000      # what was overtaken on its line comes so much later,
cdef uint64_t ASK_LINES_NS = 3_000_000      # and its twin on the other
cdef uint64_t ASK_AGAIN_NS = 20_000_000
cdef uint64_t GIVE_UP_NS = 250_000_000      # recovery asks control from then on
cdef uint64_t GIVE_UP_ALONE_NS = 20_000_000     # where nobody is asked
cdef uint64_t SILENT_NS = 500_000_000       # after which a session may be left
cdef uint64_t EARLY_BYTES = 64 << 20        # of all that waits

BUFFER_BYTES = 8 << 20
BUSY_POLL_US = 50


cdef class MoldLink(FrameLink):
    """A link on the groups of `patterns` (symbols, beginnings, ``*``) at `endpoint` (feed/shards.py); spinning, it lets the
    kernel look at the network card as well.

    :raises ConfigError: the endpoint is none.
    :raises HostError: no such interface, or no way to a group.
    """

    def __init__(self, str endpoint, patterns, spin: bool = False) -> None:
        cdef uint32_t i, line
        cdef Arbiter arbiter
        self.transport = "mold"
        self.endpoint = endpoint
        self.request_fd = -1
        self.sockets = []
        self.arbiters = []
        address = parse_mold(endpoint, where="endpoint")
        joined = address.shards.of_patterns(patterns)
        self.shards_joined = joined
        self.ask_after_ns = ASK_AFTER_NS if len(address.lines) == 1 else ASK_LINES_NS
        self.give_up_ns = GIVE_UP_NS if address.requests else GIVE_UP_ALONE_NS
        self.lines = len(address.lines)
        self.shards = len(joined)
        self.poller = select.epoll()
        self.burst = <tc_burst*>calloc(1, sizeof(tc_burst))
        self.memory = <uint8_t*>malloc(TC_BURST * PACKET_ROOM)
        self.shard = <shard_t*>calloc(self.shards, sizeof(shard_t))
        self.inlets = <inlet_t*>calloc(self.shards * self.lines + 1, sizeof(inlet_t))
        self.fds = <int*>calloc(self.shards * self.lines + 1, sizeof(int))
        if self.burst == NULL or self.memory == NULL or self.shard == NULL or self.inlets == NULL or self.fds == NULL:
            raise MemoryError
        tc_burst_arm(self.burst, self.memory, PACKET_ROOM)
        try:
            for i in range(self.shards):
                arbiter = _Arbiter(self.lines + 1)
                self.arbiters.append(arbiter)
                self.shard[i].arbiter = arbiter.state
                self.shard[i].code[0] = ord(DIGITS[joined[i] // 36])
                self.shard[i].code[1] = ord(DIGITS[joined[i] % 36])
                for line in range(self.lines):
                    self._listen(
                        open_receiver(
                            address.lines[line],
                            joined[i],
                            buffer_bytes=BUFFER_BYTES,
                            busy_poll_us=BUSY_POLL_US if spin else 0,
                            where="endpoint",
                        ),
                        line,
                        i,
                    )
            if address.requests:
                host, _, port = address.requests.rpartition(":")
                asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self._listen(asking, self.lines, 0)
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
                asking.connect((host, int(port)))   # answers come from there alone
                self.request_fd = asking.fileno()
        except BaseException:
            self.close()
            raise

    def __dealloc__(self):
        self._drop_early()
        free(self.burst)
        free(self.memory)
        free(self.shard)
        free(self.inlets)
        free(self.fds)
        free(self.tracks)
        free(self.waiting)

    def _listen(self, receiving, line: int, shard: int) -> None:
        self.sockets.append(receiving)
        self.inlets[self.inlet_count].fd = self.fds[self.inlet_count] = receiving.fileno()
        self.inlets[self.inlet_count].line = line
        self.inlets[self.inlet_count].shard = shard
        self.inlet_count += 1
        self.poller.register(receiving, select.EPOLLIN)

    # --- frames -----------------------------------------------------------------------------------------------------

    cdef int take(self, const uint8_t** at, size_t* nbytes) noexcept nogil:
        cdef arbiter_t* arbiter
        cdef const uint8_t* frame
        cdef uint32_t length
        if self.gone != NULL:
            self.early_bytes -= self.gone.nbytes
            free(self.gone)
            self.gone = NULL
        while True:
            if self.range_at < self.range_count:
                arbiter = self.shard[self.own].arbiter
                if self.message >= arbiter.fresh[self.range_at].end:
                    self.range_at += 1
                    continue
                frame = tc_mold_block(&self.block, &length)
                self.message += 1
                if self.message > arbiter.fresh[self.range_at].first and self._judge(frame, length, self.message - 1):
                    return TAKE_PARSED
                continue
            if self.news_left:
                if self.news_left < TC_MOLD_LENGTH:
                    length = TC_MOLD_END
                else:
                    frame = tc_mold_block(&self.news, &length)
                if TC_MOLD_LENGTH + <size_t>length > self.news_left:
                    self.news_left = 0
                    self.malformed += 1
                    continue
                self.news_left -= TC_MOLD_LENGTH + length
                if self._judge(frame, length, self.packet.sequence):
                    return TAKE_PARSED
                continue
            # Not before: what closes a hole goes out ahead of what has waited for it.
            if self.ripe and self._let_go():
                return TAKE_PARSED
            if not self._next_packet() and not self.ripe:
                return TAKE_NONE

    cdef bint _judge(self, const uint8_t* at, uint32_t length, uint64_t sequence) noexcept nogil:
        """Does this frame go out now? Then `frame` is it. `sequence`: its message's, or of the next one to come."""
        cdef shard_t* shard = &self.shard[self.own]
        cdef track_t* track
        cdef uint64_t behind
        cdef int i
        if tc_wire_parse(at, length, &self.frame) != 0:
            self.malformed += 1
            return False
        shard.topic_epoch = max(shard.topic_epoch, self.frame.header.epoch)
        if self.frame.kind == TC_WIRE_HEARTBEAT:
            return self._beat()
        if self.frame.kind != TC_WIRE_TICKS or self.frame.schema == TC_SCHEMA_NONE:
            return True
        i = self._find()
        if i < 0 or self.keys[i].choice == TOPIC_UNWANTED or not self._track():
            return True
        track = &self.tracks[i]
        if track.epoch != self.frame.header.epoch:
            track.epoch = self.frame.header.epoch
            track.due = 0
        if (
            (track.due == 0 or self.frame.header.topic_seq > track.due)
            and (track.head != NULL or arbiter_complete(shard.arbiter) < sequence)
            and self._keep(i, at, length, sequence)
        ):
            self.ripe = self.ripe or arbiter_complete(shard.arbiter) >= sequence
            return False
        behind = self.frame.header.topic_seq + self.frame.header.count
        if behind > track.due:
            track.due = behind
            self.ripe = self.ripe or track.head != NULL
        return True

    cdef bint _beat(self) noexcept nogil:
        """A heartbeat is at hand: does one go out, for all shards?"""
        cdef shard_t* shard = &self.shard[self.own]
        cdef uint64_t seq
        cdef uint32_t i
        cdef size_t at = self.frame.topic_length
        cdef size_t nbytes = at + sizeof(self.frame.header)
        shard.epoch = self.frame.header.epoch
        shard.seq = seq = self.frame.header.seq
        if self.waiting_count or self._holes():
            return False
        for i in range(self.shards):
            if self.shard[i].epoch != shard.epoch:
                return False
            seq = min(seq, self.shard[i].seq)
        if seq != shard.seq and nbytes <= HEARTBEAT_ROOM:
            memcpy(self.heartbeat, self.frame.topic, nbytes)
            memcpy(self.heartbeat + at + SEQ, &seq, sizeof(seq))
            tc_wire_parse(self.heartbeat, nbytes, &self.frame)
        return True

    # --- frames that wait -------------------------------------------------------------------------------------------

    cdef bint _track(self) noexcept nogil:
        """Room for a track of every topic; false: there is none."""
        cdef uint32_t room = self.key_room
        cdef track_t* tracks
        cdef uint32_t* waiting
        if self.track_room >= room:
            return True
        tracks = <track_t*>realloc(self.tracks, room * sizeof(track_t))
        if tracks == NULL:
            return False
        memset(tracks + self.track_room, 0, (room - self.track_room) * sizeof(track_t))
        self.tracks = tracks
        waiting = <uint32_t*>realloc(self.waiting, room * sizeof(uint32_t))
        if waiting == NULL:
            return False
        self.waiting = waiting
        self.track_room = room
        return True

    cdef bint _keep(self, uint32_t topic, const uint8_t* at, uint32_t length, uint64_t sequence) noexcept nogil:
        """Copy a frame and let it wait for its turn; false: there is no room, it has to go out."""
        cdef track_t* track = &self.tracks[topic]
        cdef early_t** place = &track.head
        cdef early_t* early
        cdef uint64_t topic_seq = self.frame.header.topic_seq
        while place[0] != NULL and place[0].topic_seq < topic_seq:
            place = &place[0].next
        if self.frame.header.count == 0 and place[0] != NULL and place[0].topic_seq == topic_seq:
            return True         # the same news, or what it is news of
        if self.early_bytes + length > EARLY_BYTES:
            return False
        early = <early_t*>malloc(sizeof(early_t) + length)
        if early == NULL:
            return False
        early.sequence = sequence
        early.topic_seq = topic_seq
        early.shard = self.own
        early.nbytes = length
        memcpy(early.data, at, length)
        self.early_bytes += length
        if track.head == NULL:
            self.waiting[self.waiting_count] = topic
            self.waiting_count += 1
        early.next = place[0]
        place[0] = early
        return True

    cdef bint _let_go(self) noexcept nogil:
        """The next frame whose wait is over is `frame`; false: there is none."""
        cdef uint32_t i
        cdef track_t* track
        cdef early_t* early
        for i in range(self.waiting_count):
            track = &self.tracks[self.waiting[i]]
            early = track.head
            if (track.due == 0 or early.topic_seq > track.due) and (
                arbiter_complete(self.shard[early.shard].arbiter) < early.sequence
            ):
                continue
            track.head = early.next
            if track.head == NULL:
                self.waiting_count -= 1
                self.waiting[i] = self.waiting[self.waiting_count]
            self.gone = early
            tc_wire_parse(early.data, early.nbytes, &self.frame)
            self._find()
            track.due = max(track.due, self.frame.header.topic_seq + self.frame.header.count)
            return True
        self.ripe = False
        return False

    cdef void _drop_early(self) noexcept nogil:
        cdef early_t* early
        cdef uint32_t i
        free(self.gone)
        self.gone = NULL
        for i in range(self.waiting_count):
            while self.tracks[self.waiting[i]].head != NULL:
                early = self.tracks[self.waiting[i]].head
                self.tracks[self.waiting[i]].head = early.next
                free(early)
        self.waiting_count = 0

    # --- packets ----------------------------------------------------------------------------------------------------

    cdef int _next_packet(self) noexcept nogil:
        """Bring the next packet that has something for us; 0: nothing is waiting."""
        cdef int i
        while True:
            while self.burst_at < self.burst_count:
                i = self.burst_at
                self.burst_at += 1
                if self._open(self.memory + <size_t>i * PACKET_ROOM, tc_burst_length(self.burst, i), self.burst_ns):
                    return 1
            if not self._receive():
                return 0

    cdef bint _receive(self) noexcept nogil:
        """Take what is there from the next socket that has something."""
        cdef uint32_t k
        cdef bint holes = self._holes()
        cdef uint32_t ears = self._ears(holes)
        if holes:
            self._tend(mono_ns())
        for k in range(ears):
            self.inlet = &self.inlets[self.inlet_at]
            self.inlet_at = self.inlet_at + 1 if self.inlet_at + 1 < ears else 0
            if self._came(tc_burst_receive(self.burst, self.inlet.fd)):
                return True
        return False

    cdef bint _came(self, int n) noexcept nogil:
        """Were there any? `n` is what a receive from `inlet` gave."""
        cdef uint64_t stamp, now
        if n <= 0:
            return False
        self.burst_count = n
        self.burst_at = 0
        self.burst_ns = mono_ns()
        stamp = tc_burst_stamp(self.burst, 0)
        now = wall_ns()
        if stamp and now > stamp:
            self.longest_queued_ns = max(self.longest_queued_ns, now - stamp)
        return True

    cdef bint _open(self, const uint8_t* data, uint32_t length, uint64_t now) noexcept nogil:
        cdef shard_t* shard
        cdef uint32_t i
        self.range_at = self.range_count = 0
        self.news_left = 0
        if tc_mold_parse(data, length, &self.packet) != TC_MOLD_OK:
            self.malformed += 1
            return False
        self.own = self.inlet.shard
        if self.inlet.line == self.lines:       # an answer
            for i in range(self.shards):
                if tc_mold_same_session(self.packet.session, self.shard[i].arbiter.session):
                    self.own = i
        shard = &self.shard[self.own]
        if not shard.begun or not tc_mold_same_session(self.packet.session, shard.arbiter.session):
            if not self._joins(shard, now):
                self.foreign += 1
                return False
        if self.packet.sequence > shard.arbiter.seen.next + JUMP and self.packet.sequence != shard.far:
            shard.far = self.packet.sequence + self.packet.count
            self.foreign += 1
            return False
        shard.far = 0
        shard.heard_ns = now
        shard.over = self.packet.end != 0
        self.range_count = arbiter_offer(
            shard.arbiter, self.inlet.line, self.packet.sequence, self.packet.count, now)
        self.ripe = self.ripe or self.waiting_count != 0
        self.message = self.packet.sequence
        self.block = self.packet.blocks
        if not self.packet.end:
            self.news = self.packet.rest
            self.news_left = self.packet.rest_length
        return self.range_count != 0 or self.news_left != 0

    cdef bint _joins(self, shard_t* shard, uint64_t now) noexcept nogil:
        """A packet of another session: is that ours from now on?"""
        cdef tc_wire_frame frame
        cdef const uint8_t* at = self.packet.blocks if self.packet.count else self.packet.rest
        cdef const uint8_t* first
        cdef uint32_t length, i
        cdef early_t* early
        if self.inlet.line == self.lines or self.packet.end:
            return False
        if self.packet.session[8] != shard.code[0] or self.packet.session[9] != shard.code[1]:
            return False
        if self.packet.count == 0 and self.packet.rest_length < TC_MOLD_LENGTH:
            return False
        first = tc_mold_block(&at, &length)
        if self.packet.count == 0 and TC_MOLD_LENGTH + <size_t>length > self.packet.rest_length:
            return False
        if tc_wire_parse(first, length, &frame) != 0:
            return False
        if shard.begun and not shard.over and now - shard.heard_ns < SILENT_NS and frame.header.epoch <= shard.topic_epoch:
            return False
        if shard.begun:
            self.given_up += arbiter_expire(shard.arbiter, now)
            for i in range(self.waiting_count):     # nothing more comes before them
                early = self.tracks[self.waiting[i]].head
                while early != NULL:
                    if early.shard == self.own:
                        early.sequence = 0
                    early = early.next
            self.ripe = self.waiting_count != 0
        arbiter_begin(
            shard.arbiter, self.packet.session,
            1 if shard.begun and self.packet.sequence <= WITNESSED else self.packet.sequence)
        shard.begun = True
        shard.over = False
        shard.epoch = 0
        return True

    # --- what is missing --------------------------------------------------------------------------------------------

    cdef bint _holes(self) noexcept nogil:
        cdef uint32_t i
        for i in range(self.shards):
            if self.shard[i].arbiter.seen.count:
                return True
        return False

    cdef void _tend(self, uint64_t now) noexcept nogil:
        """Ask for holes, and give up those that are too old."""
        cdef const range_t* hole
        cdef arbiter_t* arbiter
        cdef uint64_t gone
        cdef uint32_t i, k
        if now - self.looked_ns < LOOK_NS:
            return
        self.looked_ns = now
        for i in range(self.shards):
            arbiter = self.shard[i].arbiter
            gone = arbiter_expire(arbiter, now - self.give_up_ns)
            if gone:
                self.given_up += gone
                self.ripe = self.waiting_count != 0
            if self.request_fd < 0:
                continue
            for k in range(ASKS):
                hole = arbiter_due(arbiter, now - self.ask_after_ns, now - ASK_AGAIN_NS, now)
                if hole == NULL:
                    break
                tc_mold_put_header(
                    self.request, arbiter.session, hole.first, <uint32_t>min(hole.end - hole.first, <uint64_t>ASKED_MAX))
                if tc_send(self.request_fd, self.request, TC_MOLD_HEADER, NULL) == 1:
                    self.requested += 1

    # --- waiting ----------------------------------------------------------------------------------------------------

    cdef uint32_t _ears(self, bint holes) noexcept nogil:
        """How many inlets are to be listened to: that of the answers, the last, while something is asked for."""
        return self.inlet_count - 1 if self.request_fd >= 0 and not holes else self.inlet_count

    cdef bint wait(self, uint64_t timeout_ns, bint spin) noexcept nogil:
        cdef uint64_t deadline
        cdef bint holes = self._holes()
        cdef uint32_t ears = self._ears(holes)
        if (
            self.pending or self.ripe or self.range_at < self.range_count or self.news_left
            or self.burst_at < self.burst_count
        ):
            return True
        if holes:
            timeout_ns = min(timeout_ns, LOOK_NS)
        if not spin and ears == 1 and timeout_ns >= MILLISECOND_NS:
            self.inlet = &self.inlets[0]
            return self._came(tc_burst_await(self.burst, self.inlet.fd, timeout_ns))
        if not spin or ears == 0:
            return tc_wait(self.fds, ears, POLLIN, timeout_ns)
        deadline = mono_ns() + timeout_ns
        while not self._receive():
            if self.ripe:
                return True
            if mono_ns() > deadline:
                return False
        return True

    def prove(self, timeout_ns: int) -> bool:
        """Wait for a heartbeat of every group, which shows that they come here; at most `timeout_ns`. What comes before
        it lies before this bot came.
        """
        cdef uint64_t timeout = timeout_ns
        self.busy = True
        with nogil:
            self._prove(mono_ns() + timeout)
        self.busy = False
        return self.proved

    cdef void _prove(self, uint64_t deadline) noexcept nogil:
        cdef const uint8_t* at
        cdef size_t nbytes
        cdef uint64_t now
        while not self.proved:
            if self.take(&at, &nbytes) == TAKE_PARSED:
                self.proved = self.frame.kind == TC_WIRE_HEARTBEAT
                if self.proved:
                    self.signs += 1
                    self.epoch = self.frame.header.epoch
                    self.seq = self.frame.header.seq
                continue
            now = mono_ns()
            if now >= deadline or self.inlet_count == 0:
                return
            self.wait(deadline - now, False)

    @property
    def sessions(self) -> list[bytes]:
        """The sessions that are followed, by shard; b"" before the first."""
        cdef uint32_t i
        return [self.shard[i].arbiter.session[:10] if self.shard[i].begun else b"" for i in range(self.shards)]

    def line_counts(self) -> list[tuple[int, int, int]]:
        """For each line: messages that it brought first, that had come already, that it never brought."""
        counts = []
        for line in range(self.lines):
            of_shards = [each.line(line) for each in self.arbiters]
            counts.append(tuple(sum(each[k] for each in of_shards) for k in range(3)))
        return counts

    def line_ticks(self) -> dict[str, int]:
        names = ("first", "late", "lost")
        counts = self.line_counts()
        return {f"{'AB'[i]}.{names[k]}": counts[i][k] for i in range(self.lines) for k in range(3)}

    def queued_ns_max(self) -> int:
        return self.longest_queued_ns

    def restless(self) -> bool:
        return self._holes() or self.ripe

    def fileno(self) -> int:
        return self.poller.fileno()

    def close(self) -> None:
        self.inlet_count = 0
        self.request_fd = -1
        for each in self.sockets:
            each.close()
        self.poller.close()


DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
