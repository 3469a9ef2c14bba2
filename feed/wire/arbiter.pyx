# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Which messages of a numbered session are new, where several lines carry the same ones. No input or output, no clock.

    begins at `next`             fresh; next moves behind it
    begins behind                the messages between are a hole; the rest is fresh
    lies below `next`            fresh as far as it lies in holes, which it closes; else it came already

Lines may cut the messages into datagrams as they like, and an answer to a request is a line as well. Nothing is held back:
who needs the messages in order puts those behind complete() into a HoldBack. Holes are bounded in number, and waited for as
long as the caller likes.
"""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memmove, memset

from typing import NamedTuple

from feed.errors import CallerError


class LineCounts(NamedTuple):
    """Messages of one line: it brought them first; they had come already; it never brought them."""

    first: int
    late: int
    lost: int


cdef class Arbiter:
    """One session's, over `lines` lines, 1 to 5."""

    def __cinit__(self, lines: int) -> None:
        if not 1 <= lines <= LINES_MAX + 1:
            raise CallerError("not a number of lines", expected=f"1 to {LINES_MAX + 1}", found=lines)
        self.state = <arbiter_t*>calloc(1, sizeof(arbiter_t))
        if self.state == NULL:
            raise MemoryError
        self.line_count = self.state.line_count = lines
        self.session = self.state.session
        self.seen = &self.state.seen
        self.fresh = self.state.fresh
        self._session = b""

    def __dealloc__(self):
        free(self.state)

    def begin(self, bytes session not None, sequence: int = 0) -> None:
        """Another session, from `sequence` on; 0: from wherever its first message is. Lines keep their counts."""
        if len(session) != 10:
            raise CallerError("not a session", expected="10 bytes", found=repr(session))
        self._session = session
        arbiter_begin(self.state, <const uint8_t*><const char*>session, sequence)

    cdef uint32_t offer(self, uint32_t line, uint64_t first, uint32_t count, uint64_t now) noexcept nogil:
        return arbiter_offer(self.state, line, first, count, now)

    cdef const range_t* due(self, uint64_t found_ns, uint64_t asked_ns, uint64_t now) noexcept nogil:
        return arbiter_due(self.state, found_ns, asked_ns, now)

    cdef uint64_t expire(self, uint64_t found_ns) noexcept nogil:
        return arbiter_expire(self.state, found_ns)

    cdef uint64_t complete(self) noexcept nogil:
        return arbiter_complete(self.state)

    # --- the Python face ----------------------------------------------------------------------------------------------

    def take(self, line: int, first: int, count: int, now_ns: int = 0) -> list[tuple[int, int]]:
        """offer(): what of it is fresh, as (first, count)."""
        cdef uint32_t i
        if not 0 <= line < self.line_count:
            raise CallerError("there is no such line", expected=f"below {self.line_count}", found=line)
        cdef uint32_t n = self.offer(line, first, count, now_ns)
        return [(self.fresh[i].first, self.fresh[i].end - self.fresh[i].first) for i in range(n)]

    def ask(self, found_ns: int, asked_ns: int, now_ns: int) -> tuple[int, int] | None:
        """due(): the hole as (first, count)."""
        cdef const range_t* hole = self.due(found_ns, asked_ns, now_ns)
        return None if hole == NULL else (hole.first, hole.end - hole.first)

    def give_up(self, found_ns: int) -> int:
        """expire()."""
        return self.expire(found_ns)

    def line(self, line: int) -> LineCounts:
        """What one line has done so far."""
        if not 0 <= line < self.line_count:
            raise CallerError("there is no such line", expected=f"below {self.line_count}", found=line)
        cdef line_t* one = &self.state.lines[<uint32_t>line]
        return LineCounts(one.first, one.late, one.seen.given_up + _missing(&one.seen))

    @property
    def of_session(self) -> bytes:
        """The session; b"" before the first."""
        return self._session

    @property
    def next(self) -> int:
        """One more than the highest sequence that is known of."""
        return self.seen.next

    @property
    def complete_below(self) -> int:
        return self.complete()

    @property
    def holes(self) -> list[tuple[int, int]]:
        """What is missing, as (first, count)."""
        cdef uint32_t i
        return [(self.seen.hole[i].first, self.seen.hole[i].end - self.seen.hole[i].first) for i in range(self.seen.count)]

    @property
    def lost(self) -> int:
        """Messages that were given up: no line brought them."""
        return self.seen.given_up


cdef void arbiter_begin(arbiter_t* arbiter, const uint8_t* session, uint64_t sequence) noexcept nogil:
    cdef uint32_t i
    memcpy(arbiter.session, session, 10)
    memset(&arbiter.seen, 0, sizeof(seen_t))
    arbiter.seen.next = sequence
    for i in range(arbiter.line_count):
        arbiter.lines[i].seen.given_up += _missing(&arbiter.lines[i].seen)
        arbiter.lines[i].seen.count = 0
        arbiter.lines[i].seen.next = sequence


cdef uint32_t arbiter_offer(arbiter_t* arbiter, uint32_t line, uint64_t first, uint32_t count, uint64_t now) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t ranges = _add(&arbiter.seen, first, first + count, now, arbiter.fresh)
    cdef uint64_t fresh = 0
    for i in range(ranges):
        fresh += arbiter.fresh[i].end - arbiter.fresh[i].first
    arbiter.lines[line].first += fresh
    arbiter.lines[line].late += count - fresh
    _add(&arbiter.lines[line].seen, first, first + count, now, NULL)
    return ranges


cdef const range_t* arbiter_due(arbiter_t* arbiter, uint64_t found_ns, uint64_t asked_ns, uint64_t now) noexcept nogil:
    cdef uint32_t i
    cdef range_t* hole
    for i in range(arbiter.seen.count):
        hole = &arbiter.seen.hole[i]
        if hole.since_ns <= found_ns and (hole.asked_ns == 0 or hole.asked_ns <= asked_ns):
            hole.asked_ns = now
            return hole
    return NULL


cdef uint64_t arbiter_expire(arbiter_t* arbiter, uint64_t found_ns) noexcept nogil:
    cdef uint64_t before = arbiter.seen.given_up
    cdef uint32_t i = 0
    while i < arbiter.seen.count:
        if arbiter.seen.hole[i].since_ns <= found_ns:
            arbiter.seen.given_up += arbiter.seen.hole[i].end - arbiter.seen.hole[i].first
            _remove(&arbiter.seen, i)
        else:
            i += 1
    return arbiter.seen.given_up - before


cdef uint32_t _add(seen_t* seen, uint64_t first, uint64_t end, uint64_t now, range_t* fresh) noexcept nogil:
    """Take in first .. end; how many ranges of it are `fresh`, which is filled unless it is NULL."""
    cdef uint32_t ranges = 0
    cdef uint32_t i
    cdef range_t* hole
    cdef range_t found
    if seen.next == 0:
        seen.next = first
    if first < seen.next and seen.count:
        i = seen.count
        while i and seen.hole[i - 1].end > first:
            i -= 1
        while i < seen.count and seen.hole[i].first < end:
            hole = &seen.hole[i]
            found = hole[0]
            found.first = max(first, hole.first)
            found.end = min(end, hole.end)
            if fresh != NULL:
                fresh[ranges] = found
            ranges += 1
            if found.first == hole.first and found.end == hole.end:
                _remove(seen, i)
            elif found.first == hole.first:
                hole.first = found.end
                i += 1
            elif found.end == hole.end:
                hole.end = found.first
                i += 1
            else:
                # The messages lie within the hole, which is two from now on.
                found.first, found.end = found.end, hole.end
                hole.end = max(first, hole.first)
                _insert(seen, i + 1, &found)
                break
    if end > seen.next:
        first = max(first, seen.next)
        if first > seen.next:
            found.first = seen.next
            found.end = first
            found.since_ns = now
            found.asked_ns = 0
            _insert(seen, seen.count, &found)
        if end > first:
            if fresh != NULL:
                fresh[ranges].first = first
                fresh[ranges].end = end
            ranges += 1
        seen.next = end
    return ranges


cdef void _insert(seen_t* seen, uint32_t at, const range_t* hole) noexcept nogil:
    if seen.count == HOLES_MAX:
        if at == 0:     # it is the oldest itself
            seen.given_up += hole.end - hole.first
            return
        seen.given_up += seen.hole[0].end - seen.hole[0].first
        _remove(seen, 0)
        at -= 1
    memmove(&seen.hole[at + 1], &seen.hole[at], (seen.count - at) * sizeof(range_t))
    seen.hole[at] = hole[0]
    seen.count += 1


cdef void _remove(seen_t* seen, uint32_t at) noexcept nogil:
    seen.count -= 1
    memmove(&seen.hole[at], &seen.hole[at + 1], (seen.count - at) * sizeof(range_t))


cdef uint64_t _missing(const seen_t* seen) noexcept nogil:
    cdef uint32_t i
    cdef uint64_t messages = 0
    for i in range(seen.count):
        messages += seen.hole[i].end - seen.hole[i].first
    return messages


cdef class HoldBack:
    """Keeps what came before its turn, for who needs the messages in order: at most so many `messages` ahead (rounded up to
    a power of two) and `limit_bytes` of them.
    """

    def __cinit__(self, messages: int, limit_bytes: int) -> None:
        cdef uint32_t room = 1
        if not 1 <= messages <= 1 << 24:
            raise CallerError("not a number of messages to keep", expected=f"1 to {1 << 24}", found=messages)
        while room < messages:
            room *= 2
        self.slots = <kept_message_t*>calloc(room, sizeof(kept_message_t))
        if self.slots == NULL:
            raise MemoryError
        self.slot_mask = room - 1
        self.limit_bytes = limit_bytes

    def __dealloc__(self):
        if self.slots != NULL:
            self.clear()
        free(self.slots)

    cdef bint keep(self, uint64_t sequence, uint64_t due, const uint8_t* data, uint32_t length) noexcept nogil:
        cdef kept_message_t* slot = &self.slots[sequence & self.slot_mask]
        if slot.sequence == sequence and slot.data != NULL:
            return True
        # Within the window no two sequences share a slot.
        if sequence < due or sequence - due > self.slot_mask or self.kept_bytes + length > self.limit_bytes:
            self.refused += 1
            return False
        if slot.data != NULL:   # it was passed over
            self._drop(slot)
        slot.data = <uint8_t*>malloc(max(length, <uint32_t>1))
        if slot.data == NULL:
            self.refused += 1
            return False
        memcpy(slot.data, data, length)
        slot.sequence = sequence
        slot.length = length
        self.kept += 1
        self.kept_bytes += length
        return True

    cdef const uint8_t* give(self, uint64_t sequence, uint32_t* length) noexcept nogil:
        cdef kept_message_t* slot = &self.slots[sequence & self.slot_mask]
        free(self.given)
        self.given = NULL
        if slot.data == NULL or slot.sequence != sequence:
            return NULL
        length[0] = slot.length
        self.given = slot.data
        self.kept -= 1
        self.kept_bytes -= slot.length
        slot.data = NULL
        return self.given

    cdef void clear(self) noexcept nogil:
        cdef uint32_t i
        for i in range(self.slot_mask + 1):
            if self.slots[i].data != NULL:
                self._drop(&self.slots[i])
        free(self.given)
        self.given = NULL

    cdef void _drop(self, kept_message_t* slot) noexcept nogil:
        self.kept -= 1
        self.kept_bytes -= slot.length
        free(slot.data)
        slot.data = NULL

    def put(self, sequence: int, due: int, bytes message not None) -> bool:
        """keep()."""
        return self.keep(sequence, due, <const uint8_t*><const char*>message, len(message))

    def take(self, sequence: int) -> bytes | None:
        """give()."""
        cdef uint32_t length = 0
        cdef const uint8_t* data = self.give(sequence, &length)
        return None if data == NULL else data[:length]

    def forget(self) -> None:
        """clear()."""
        self.clear()
