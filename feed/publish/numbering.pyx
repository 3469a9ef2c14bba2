# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The numbering of a multicast publisher: which message of which shard a record of the log is, and where to find it again.

Message n of a shard is the n-th of its records since the session began, in the order of the log. That is kept in a file
beside the log: where the stream stood now, for a publisher that begins anew, and, every thousand records, where it stood
then, for requests. A session's name is the time when it began in base 36, to the millisecond, and its shard:

    8 characters  session_ms      2 characters  shard

The file is written by one thread and read by any: what is being written is never what is named (`versions`, `marks`).
"""

import mmap
import os

from libc.string cimport memcpy, memset

from feed.log.fences cimport tc_publish, tc_read_published

from feed.errors import CallerError

cdef uint64_t MAGIC = 0x313044_4C4F4D_5443
cdef const char* DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


cdef class Numbering:
    """Kept in `file`, which is made if it is not there or of another `rule` or number of `shards`."""

    def __init__(self, file, shards: int, rule: int) -> None:
        cdef uint64_t of_rule = rule
        cdef uint8_t[::1] view
        cdef size_t nbytes = sizeof(numbering_header_t) + (2 + MARKS) * sizeof(mark_t)
        if not 1 <= shards <= SHARDS_MAX:
            raise CallerError("not a number of shards", expected=f"1 to {SHARDS_MAX}", found=shards)
        fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            os.posix_fallocate(fd, 0, nbytes)   # a full tmpfs answers a store with SIGBUS
            self._memory = mmap.mmap(fd, nbytes)
        finally:
            os.close(fd)
        view = self._memory
        self.header = <numbering_header_t*>&view[0]
        self.now = <mark_t*>(&view[0] + sizeof(numbering_header_t))
        self.marks = self.now + 2
        self.shards = shards
        if self.header.magic != MAGIC or self.header.rule != of_rule * SHARDS_MAX + self.shards - 1:
            memset(self.header, 0, sizeof(numbering_header_t))
            self.header.rule = of_rule * SHARDS_MAX + self.shards - 1
            self.header.magic = MAGIC

    def resume(self, epoch: int) -> int:
        """The seq to go on with where `epoch` was being sent already; 0: it was not."""
        cdef const mark_t* now = &self.now[self.header.versions & 1]
        if self.header.epoch != epoch or self.header.versions == 0:
            return 0
        memcpy(self.next, now.next, sizeof(self.next))
        self.since = MARK_EVERY
        self._spell()
        return now.seq

    cdef void begin(self, uint64_t epoch, uint64_t wall, uint64_t seq, uint64_t position) noexcept nogil:
        cdef uint32_t i
        tc_publish(&self.header.epoch, 0)
        tc_publish(&self.header.marks, 0)
        self.header.session_ms = max(self.header.session_ms + 1, wall // 1_000_000)
        for i in range(SHARDS_MAX):
            self.next[i] = 1
        self.since = MARK_EVERY
        self._spell()
        self.note(seq, position)
        tc_publish(&self.header.epoch, epoch)

    cdef uint64_t number(self, uint32_t shard, uint64_t seq, uint64_t position) noexcept nogil:
        cdef mark_t* mark
        cdef uint64_t sequence = self.next[shard]
        if self.since >= MARK_EVERY:
            mark = &self.marks[self.header.marks % MARKS]
            mark.seq = seq
            mark.position = position
            memcpy(mark.next, self.next, self.shards * sizeof(uint64_t))
            tc_publish(&self.header.marks, self.header.marks + 1)
            self.since = 0
        self.since += 1
        self.next[shard] = sequence + 1
        return sequence

    cdef void note(self, uint64_t seq, uint64_t position) noexcept nogil:
        cdef mark_t* now = &self.now[(self.header.versions + 1) & 1]
        now.seq = seq
        now.position = position
        memcpy(now.next, self.next, self.shards * sizeof(uint64_t))
        tc_publish(&self.header.versions, self.header.versions + 1)

    cdef bint find(self, uint32_t shard, uint64_t sequence, mark_t* out) noexcept nogil:
        cdef uint64_t marks = tc_read_published(&self.header.marks)
        # The one that is being written is none of these.
        cdef uint64_t first = marks - (MARKS - 1) if marks >= MARKS else 0
        cdef uint64_t last = marks
        cdef uint64_t oldest = first
        cdef uint64_t middle
        while first < last:     # the first whose shard has passed it
            middle = (first + last) // 2
            if self.marks[middle % MARKS].next[shard] <= sequence:
                first = middle + 1
            else:
                last = middle
        if first == oldest:
            return False
        out[0] = self.marks[(first - 1) % MARKS]
        # Written over meanwhile, or of a session that is over?
        marks = tc_read_published(&self.header.marks)
        return marks >= first and marks - first < MARKS - 1 and out.next[shard] <= sequence

    cdef void name(self, uint32_t shard, uint8_t* out) noexcept nogil:
        memcpy(out, self.session, 8)
        out[8] = DIGITS[shard // 36]
        out[9] = DIGITS[shard % 36]

    cdef void _spell(self) noexcept nogil:
        cdef uint64_t rest = self.header.session_ms
        cdef int i
        for i in range(7, -1, -1):
            self.session[i] = DIGITS[rest % 36]
            rest //= 36

    # --- the Python face --------------------------------------------------------------------------------------------

    def renew(self, epoch: int, wall_ns: int, seq: int, position: int) -> None:
        """begin()."""
        self.begin(epoch, wall_ns, seq, position)

    def count(self, shard: int, seq: int, position: int) -> int:
        """number()."""
        return self.number(shard, seq, position)

    def rest(self, seq: int, position: int) -> None:
        """note()."""
        self.note(seq, position)

    def place(self, shard: int, sequence: int) -> tuple[int, int, int] | None:
        """find(): (seq, position, the shard's next sequence there)."""
        cdef mark_t mark
        return (mark.seq, mark.position, mark.next[<uint32_t>shard]) if self.find(shard, sequence, &mark) else None

    def of(self, shard: int) -> int:
        """The sequence of a shard's next message."""
        return self.next[<uint32_t>shard]

    def session_of(self, shard: int) -> bytes:
        """The session's name for a shard."""
        cdef uint8_t name[10]
        self.name(shard, name)
        return name[:10]

    def close(self) -> None:
        """Let go of the file; nothing else may be called any more."""
        self.header = NULL
        self._memory = None
