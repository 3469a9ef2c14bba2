# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""ITCH messages in a row, each with its length in two bytes before it, onto a sink, each message's records when it is due
(schedule.pxd).

Nasdaq's files (BinaryFILE) are such a row, and so are the blocks of MoldUDP64 packets behind each other. In a file a length
that is damaged would make noise of everything behind it. So where a message is none that is known, the one after it, or
after others of its type and length, must be known; else the next place is searched where two known ones lie one behind the
other. What lies between is lost, which is counted, and every book may be wrong from there on. Packets have sound lengths;
whoever takes them in says which numbers are missing.
"""

from libc.math cimport INFINITY
from libc.string cimport memcpy, memmove

from cpython.bytearray cimport PyByteArray_AS_STRING

from feed.normalize.itch cimport ITCH_NAME
from feed.metrics.histogram cimport tc_histogram_record_n
from feed.normalize.schedule cimport schedule_again, schedule_due, schedule_speed, schedule_start

from enum import IntEnum

cdef extern from "feed/normalize/itch.h" nogil:
    const uint8_t* tc_itch_length
    uint32_t tc_be16(const uint8_t* p) noexcept
    uint64_t tc_be48(const uint8_t* p) noexcept

cdef enum:
    TIME_AT = 5
    HEAD_BYTES = 11
    SNAPSHOT_END_BYTES = 21       # G and the number of the next message, in ASCII: GLIMPSE 5.0
    AHEAD = 640                   # bytes in front of the message that is dealt with for which memory is called for
    NEAR = 320
    UNKNOWN_MAX = 64              # unknown messages of one type behind each other before that is taken for damage
    LENGTH_MAX = 127              # of an unknown message; the longest known one has 50 bytes
    NO = 0
    YES = 1
    PERHAPS = 2                   # more bytes would tell

cdef uint64_t DAY_NS = 86_400_000_000_000

BUFFER_BYTES = 2 << 20
BUFFER_BYTES_MIN = 1 << 16        # holds UNKNOWN_MAX messages of LENGTH_MAX several times over


class Want(IntEnum):
    """What a stream needs to go on."""

    NOTHING = WANT_NOTHING
    BYTES = WANT_BYTES
    NAME = WANT_NAME
    ROOM = WANT_ROOM
    LIVE = WANT_LIVE


cdef class ItchFrames:
    """
    :param itch: what turns the messages into records.
    :param speed: how many times faster than recorded; infinite is as fast as possible, and then the sink stamps ts_in.
    :param packets: the bytes come in packets, so that their lengths are sound; and every message has a number, empty ones
        too.
    :param venue: takes the time from each record's ts_event to its ts_recv, where :meth:`pour` is told that.
    """

    def __cinit__(
        self,
        Itch itch not None,
        speed: float = INFINITY,
        buffer_bytes: int = BUFFER_BYTES,
        *,
        packets: bool = False,
        Histogram venue = None,
    ):
        self.itch = itch
        self._buffer = bytearray(max(BUFFER_BYTES_MIN, buffer_bytes))
        self.capacity = len(self._buffer)
        self.bytes = <uint8_t*>PyByteArray_AS_STRING(self._buffer)
        self.packets = packets
        self._venue = venue
        schedule_speed(&self.times, speed)

    def begin(self, pause_ns: int = 0, *, again: bool = False, packets: bool = False) -> None:
        """Another file. With `again` a second pass, due `pause_ns` after the last message of the first."""
        self.packets = packets
        self.at = self.end = self.ahead = self.near = 0
        self.step = 0
        self.offset = 0
        self.ended = self.searching = False
        if again:
            self.messages = 0
            schedule_again(&self.times, pause_ns)

    def space(self) -> memoryview:
        """Room for more bytes."""
        self._gather()
        return memoryview(self._buffer)[self.end :]

    def filled(self, n: int) -> None:
        """`n` bytes were written to :meth:`space`."""
        self.end += n

    def number(self, sequence: int) -> None:
        """The next message has this number."""
        self.messages = sequence - 1

    def skip(self, sequence: int) -> None:
        """All before this number that were not dealt with are lost. To be called with no byte left."""
        self.messages = sequence - 1
        self.itch.lost()

    def finish(self) -> None:
        """The file has no more bytes."""
        self.ended = True

    @property
    def left(self) -> int:
        """Bytes that are still to be read."""
        return self.end - self.at

    @property
    def dealt(self) -> bool:
        """Is all dealt with that came, and are its records in the sink?"""
        return self.end == self.at and self.itch.given >= self.itch.count and self.itch.telling == 0

    def pour(self, Sink sink not None, limit: int, now_ns: int, received_ns: int = 0) -> int:
        """Append up to `limit` records that are due at `now_ns`; `want` then says why it was not more.

        `received_ns`: when the bytes came, for live ones: ts_in and ts_recv. 0: not known.
        """
        cdef int64_t n, most = limit
        cdef uint64_t now = now_ns
        self.itch.received = received_ns
        with nogil:
            n = self.run(sink, most, now)
        return n

    def flush(self, Sink sink not None) -> None:
        """Make what was appended visible."""
        with nogil:
            sink.flush()

    @property
    def live_from(self) -> int:
        """The number that the end of a snapshot gave for the next message; 0: none that is one."""
        text = (<const char*>self.number_text)[: sizeof(self.number_text)].strip(b" ")
        return int(text) if text.isdigit() else 0

    def take_losses(self) -> int:
        """How often the place where messages begin was lost since the last call."""
        n, self.losses = self.losses, 0
        return n

    cdef bint push(self, const uint8_t* blocks, size_t nbytes) noexcept nogil:
        if self.capacity - self.end < nbytes:
            self._gather()
            if self.capacity - self.end < nbytes:
                return False
        memcpy(self.bytes + self.end, blocks, nbytes)
        self.end += nbytes
        return True

    cdef void _gather(self) noexcept nogil:
        """Move what is left to the beginning."""
        memmove(self.bytes, self.bytes + self.at, self.end - self.at)
        self.end -= self.at
        self.at = self.ahead = self.near = 0

    # --- the loop ---------------------------------------------------------------------------------------------------

    cdef int64_t run(self, Sink sink, int64_t limit, uint64_t now_ns) noexcept nogil:
        cdef int64_t n = 0
        cdef int64_t given
        cdef uint64_t due = 0, time
        self.want = WANT_NOTHING
        self.due_ns = 0
        while True:
            if self.itch.given < self.itch.count:
                given = self.itch.deliver(sink, self.times.last_due if self.times.paced else self.itch.received, limit - n)
                n += given
                if self._venue is not None and self.itch.received and given and not self.itch.snapshot and not self.itch.telling:
                    tc_histogram_record_n(self._venue.h, <int64_t>(self.itch.received - self.itch.ts), <uint64_t>given)
                if self.itch.given < self.itch.count:
                    if n < limit:
                        self.want = WANT_ROOM
                    return n
            if n >= limit:
                return n
            if self.itch.telling and self.itch.tell():
                continue
            if self.step == 0:
                self.step = self._frame()
                if self.step == 0:
                    self.want = WANT_BYTES
                    return n
            if self.times.paced:
                time = self._time()
                if not self.times.started:
                    schedule_start(&self.times, time, now_ns)
                due = schedule_due(&self.times, time)
                if due > now_ns:
                    self.due_ns = due
                    return n
            self._call()
            if self.itch.snapshot and self._ends_snapshot():
                self.itch.complete()
                self.want = WANT_LIVE
            elif self.step > 2:
                if self.itch.apply(self.bytes + self.at + 2, <uint32_t>self.step - 2, <uint32_t>(self.messages + 1)) == ITCH_NAME:
                    self.want = WANT_NAME
                    return n
                self.messages += 1
            elif self.packets:
                self.messages += 1
            self.times.last_due = due if self.times.paced else now_ns
            self.at += self.step
            self.offset += self.step
            self.step = 0
            if self.want == WANT_LIVE:
                return n

    cdef bint _ends_snapshot(self) noexcept nogil:
        """Is the next message the one behind a snapshot? Then `live_from` is what it says."""
        cdef const uint8_t* message = self.bytes + self.at + 2
        if self.step != 2 + SNAPSHOT_END_BYTES or message[0] != c"G":
            return False
        memcpy(self.number_text, message + 1, sizeof(self.number_text))
        return True

    cdef void _call(self) noexcept nogil:
        """Call for the memory of the messages to come, so that it is there by then."""
        cdef uint32_t length
        if self.ahead < self.at:
            self.ahead = self.at
        while self.ahead < self.at + AHEAD and self.ahead + 2 < self.end:
            length = tc_be16(self.bytes + self.ahead)
            if length == 0 or self.ahead + 2 + length > self.end:
                break
            self.itch.prefetch(self.bytes + self.ahead + 2, length)
            self.ahead += 2 + length
        if self.near < self.at:
            self.near = self.at
        while self.near < self.at + NEAR and self.near + 2 < self.ahead:
            length = tc_be16(self.bytes + self.near)
            if self.near + 2 + length > self.end:
                break
            self.itch.prefetch_best(self.bytes + self.near + 2, length)
            self.near += 2 + length

    cdef uint64_t _time(self) noexcept nogil:
        """Of the next message, ns since 1970; of one without a time that of the last."""
        cdef uint64_t time
        if self.step < 2 + HEAD_BYTES:
            return self.itch.ts
        time = tc_be48(self.bytes + self.at + 2 + TIME_AT)
        return self.itch.midnight + time if time < DAY_NS else self.itch.ts

    cdef int64_t _frame(self) noexcept nogil:
        """Bytes of the next message with its length, 0: they are not all there."""
        cdef size_t left
        cdef uint32_t length
        cdef int follows
        if self.packets:
            left = self.end - self.at
            if left < 2:
                return 0
            length = tc_be16(self.bytes + self.at)
            return 2 + length if 2 + length <= left else 0
        while True:
            left = self.end - self.at
            if left < 2:
                return 0
            length = tc_be16(self.bytes + self.at)
            if left == 2 and length:
                return 0
            if not self.searching:
                if length and left > 2 and tc_itch_length[self.bytes[self.at + 2]] == length:
                    return 2 + length if 2 + length <= left else 0
                follows = self._follows(self.at)
                if follows == PERHAPS:
                    return 0
                if follows == YES:
                    return 2 + length
                self.searching = True
                self.losses += 1
                self.itch.lost()
            elif left < 3:
                return 0
            elif length and tc_itch_length[self.bytes[self.at + 2]] == length:
                follows = self._follows(self.at + 2 + length)
                if follows == PERHAPS:
                    return 0
                if follows == YES and 2 + length <= left:
                    self.searching = False
                    return 2 + length
            self.at += 1
            self.offset += 1

    cdef int _follows(self, size_t at) noexcept nogil:
        """Do messages lie from here on, the first unknown ones aside?"""
        cdef uint32_t length, first = 0
        cdef uint8_t kind = 0
        cdef int i
        for i in range(UNKNOWN_MAX):
            if at == self.end and self.ended:
                return YES
            if at + 3 > self.end and not (self.ended and at + 2 == self.end):
                return NO if self.ended else PERHAPS
            length = tc_be16(self.bytes + at)
            if length == 0:
                at += 2
                continue
            if at + 2 >= self.end:
                return NO
            if tc_itch_length[self.bytes[at + 2]] == length:
                return YES
            if length > LENGTH_MAX or (first and (length != first or self.bytes[at + 2] != kind)):
                return NO
            first = length
            kind = self.bytes[at + 2]
            at += 2 + length
        return NO
