# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""MoldUDP64 datagrams of one or more lines in, ITCH messages in the order of their numbers out: sans-IO.

What is new in a datagram (feed.wire.arbiter) goes on into the frames as it lies there, block behind block; what came before
others waits, within bounds. Messages that are waited for no more are skipped: they are lost, and every book may be wrong.
"""

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove

from feed.wire.mold cimport (
    TC_MOLD_OK,
    TC_MOLD_SESSION,
    tc_mold_block,
    tc_mold_packet,
    tc_mold_parse,
    tc_mold_same_session,
)

cdef enum:
    BAD_FAR = 6                    # behind the reasons of mold.h, which are -1 to -5
    NO_ROOM_HELD = 7
    HELD_MIN = 64
    JUMP_MAX = 1 << 20             # messages ahead; farther must be proved
    JUMP_BELIEVED = 4              # by so many datagrams in a row that follow each other there

HELD_BYTES = 64 << 20
"""What may wait for earlier messages, by default."""

REASONS = ("", "short_datagram", "bad_session", "bad_sequence", "bad_block", "bytes_left", "sequence_jump", "no_room")

TAKEN = LINES_TAKEN
OTHER = LINES_OTHER


cdef class ItchLines:
    """
    :param frames: made with `packets`.
    :param lines: how many; what was asked for comes on one more.
    :param held_bytes: what may wait; beyond it nothing earlier is waited for any more.
    """

    def __cinit__(self, ItchFrames frames not None, lines: int, *, held_bytes: int = HELD_BYTES):
        self.frames = frames
        self.arbiter = Arbiter(lines + 1)
        self.held_max = held_bytes

    def __dealloc__(self):
        cdef size_t i
        if self.held is not NULL:
            for i in range(self.held_n):
                free(self.held[self.held_at + i].blocks)
        free(self.held)

    def begin(self, bytes session not None, sequence: int) -> None:
        """Another session, from message `sequence` on. The frames are told their number by the caller."""
        cdef size_t i
        self.arbiter.begin(session, sequence)
        memcpy(self._session, <const char*>session, TC_MOLD_SESSION)
        for i in range(self.held_n):
            free(self.held[self.held_at + i].blocks)
        self.held_at = self.held_n = 0
        self.held_bytes = 0
        self.next = self.highest = sequence
        self.end = self.far = self.far_n = 0
        self.begun = True
        self.paused = False

    def take(self, line: int, data, now_ns: int) -> int:
        """One datagram; `now_ns` is monotonic. `TAKEN`, or `OTHER` if it is of another session; then nothing came of it."""
        cdef const uint8_t[::1] view = data
        if not 0 <= line < self.arbiter.line_count:
            raise IndexError("there is no such line")
        cdef uint32_t on = line
        cdef uint64_t now = now_ns
        cdef int result
        with nogil:
            result = self.offer(on, &view[0] if view.shape[0] else NULL, view.shape[0], now)
        return result

    def pause(self) -> None:
        """All that comes waits."""
        self.paused = True

    def resume(self, sequence: int) -> None:
        """Go on at message `sequence`, not before `next`; what waited below it is left out."""
        cdef held_t* one
        cdef const uint8_t* at
        cdef uint32_t length
        self.paused = False
        self.next = sequence
        while self.held_n:
            one = &self.held[self.held_at]
            if one.first >= self.next:
                break
            at = one.blocks
            while one.first < self.next and one.first < one.end:
                tc_mold_block(&at, &length)
                one.first += 1
            if one.first < one.end:
                one.nbytes -= at - one.blocks
                self.held_bytes -= at - one.blocks
                memmove(one.blocks, at, one.nbytes)
                break
            self.held_bytes -= one.nbytes
            free(one.blocks)
            self.held_at += 1
            self.held_n -= 1
        self.release_held()

    @property
    def other_session(self) -> bytes:
        """Session of the last datagram that was `OTHER`."""
        return (<const char*>self._other)[:TC_MOLD_SESSION]

    def release(self) -> None:
        """Move what waited into the frames, as far as it is its turn and there is room."""
        self.release_held()

    @property
    def lost(self) -> int:
        """Messages, next to come, that are waited for no more."""
        return self._there() - self.next

    def skip(self, sequence: int = 0) -> None:
        """Go on behind the lost ones, or at `sequence`. To be called with all that came before dealt with."""
        self.next = sequence if sequence else self._there()
        self.frames.skip(self.next)
        self.release_held()

    def take_rejected(self) -> list[tuple[str, int]]:
        """(reason, datagrams since the last call), reasons without any left away."""
        cdef int i
        taken = []
        for i in range(REASONS_END):
            if self.rejected[i]:
                taken.append((REASONS[i], self.rejected[i]))
                self.rejected[i] = 0
        return taken

    # --- datagrams --------------------------------------------------------------------------------------------------

    cdef int offer(self, uint32_t line, const uint8_t* data, size_t n, uint64_t now) noexcept nogil:
        cdef tc_mold_packet packet
        cdef int reason = tc_mold_parse(data, n, &packet)
        cdef const uint8_t* at
        cdef const uint8_t* first
        cdef uint64_t message, start, behind
        cdef uint32_t i, ranges, length
        if reason != TC_MOLD_OK:
            self.rejected[-reason] += 1
            return LINES_TAKEN
        if not self.begun or not tc_mold_same_session(packet.session, self._session):
            memcpy(self._other, packet.session, TC_MOLD_SESSION)
            self.other_sequence = packet.sequence
            return LINES_OTHER
        behind = packet.sequence + packet.count
        if packet.sequence > self.highest + JUMP_MAX:
            self.far_n = self.far_n + 1 if packet.sequence == self.far else 1
            self.far = behind
            if self.far_n < JUMP_BELIEVED:
                self.rejected[BAD_FAR] += 1
                return LINES_TAKEN
        self.far_n = 0
        self.highest = max(self.highest, behind)
        if packet.end:
            self.end = behind
        elif behind > self.end:        # it goes on: who said so was wrong
            self.end = 0
        ranges = self.arbiter.offer(line, packet.sequence, packet.count, now)
        at = packet.blocks
        message = packet.sequence
        for i in range(ranges):
            behind = self.arbiter.fresh[i].end
            while message < behind and message < max(self.arbiter.fresh[i].first, self.next):
                tc_mold_block(&at, &length)
                message += 1
            if message == behind:
                continue
            first = at
            start = message
            while message < behind:
                tc_mold_block(&at, &length)
                message += 1
            if start == self.next and not self.paused and self.frames.push(first, at - first):
                self.next = message
            else:
                self._hold(start, message, first, at - first)
        if self.held_n:
            self.release_held()
        return LINES_TAKEN

    cdef void release_held(self) noexcept nogil:
        cdef held_t* one
        while self.held_n and not self.paused:
            one = &self.held[self.held_at]
            if one.first != self.next or not self.frames.push(one.blocks, one.nbytes):
                return
            self.next = one.end
            self.held_bytes -= one.nbytes
            free(one.blocks)
            self.held_at += 1
            self.held_n -= 1
        self.held_at = 0

    cdef bint _hold(self, uint64_t first, uint64_t end, const uint8_t* blocks, size_t nbytes) noexcept nogil:
        cdef size_t at
        cdef held_t* more
        cdef uint8_t* copy
        if self.held_bytes + nbytes > self.held_max:
            if self.paused:            # as if it had been lost: nothing that is held has this number
                self.rejected[NO_ROOM_HELD] += 1
                return False
            self.arbiter.expire(<uint64_t>-1)
        if self.held_at + self.held_n == self.held_capacity:
            memmove(self.held, self.held + self.held_at, self.held_n * sizeof(held_t))
            self.held_at = 0
        if 2 * self.held_n >= self.held_capacity:
            more = <held_t*>realloc(self.held, max(<size_t>HELD_MIN, 2 * self.held_capacity) * sizeof(held_t))
            if more is not NULL:
                self.held = more
                self.held_capacity = max(<size_t>HELD_MIN, 2 * self.held_capacity)
        copy = <uint8_t*>malloc(max(nbytes, <size_t>1))
        if copy is NULL or self.held_at + self.held_n == self.held_capacity:
            free(copy)
            self.rejected[NO_ROOM_HELD] += 1
            return False
        memcpy(copy, blocks, nbytes)
        at = self.held_at + self.held_n
        while at > self.held_at and self.held[at - 1].first > first:
            self.held[at] = self.held[at - 1]
            at -= 1
        self.held[at].first = first
        self.held[at].end = end
        self.held[at].blocks = copy
        self.held[at].nbytes = nbytes
        self.held_n += 1
        self.held_bytes += nbytes
        return True

    cdef uint64_t _there(self) noexcept nogil:
        """The first message from `next` on that is there or still waited for."""
        cdef uint64_t there = self.arbiter.complete()
        if self.held_n:
            there = min(there, self.held[self.held_at].first)
        return max(there, self.next)
