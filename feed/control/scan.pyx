# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The search for what a bot missed: records of the topics that it names, by their numbers or all of them, in one go through
the log, bounded in bytes and time.

Whether a topic is wanted is found out when its first record is met, and its announcement goes in before that record.
"""

from libc.stdint cimport UINT64_MAX
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from feed.clock cimport mono_ns, wall_ns
from feed.control.selection cimport SELECTED_NOT
from feed.log.fences cimport tc_committed, tc_low, tc_read_published, tc_report
from feed.log.layout cimport TC_FRAME_HEADER, TC_KIND_RECORD, tc_log_frame
from feed.wire.frames cimport TC_FLAG_REPLAYED

from feed.control.selection import Selection
from feed.errors import ControlError, HostError
from feed.wire.records import BY_WORD

cdef extern from *:
    """
    static inline void tc_prefetch(const void *at) { __builtin_prefetch(at); __builtin_prefetch((const char *)at + 64); }
    """
    void tc_prefetch(const void* at) noexcept nogil

cdef enum:
    FRAMES_PER_LOOK = 512       # between two looks at the clock
    AHEAD = 1024                # bytes of the log that are called for before they are read
    TOPIC_IDS = 1 << 24         # as many as a log may have

RANGES_MAX = RANGES_LIMIT
"""Ranges of topic_seqs in one request at most."""


cdef class Scan:
    """One answer after the other; the memory is used again."""

    def __init__(self) -> None:
        self.runs = Runs()

    def __dealloc__(self) -> None:
        free(self.known)

    def select(self, patterns: object, schemas: object) -> None:
        """The next answer is about all records of these topics. Raises ControlError."""
        self.selection = Selection.of(patterns, schemas)

    def select_ranges(self, topics: list) -> None:
        """The next answer is about [schema, symbol, first, last] (topic_seqs, both inclusive). Raises ControlError."""
        cdef Selection selection = Selection.topics(len(topics))
        cdef Range* span
        cdef int32_t i = 0
        cdef uint32_t open_ = 0
        if len(topics) > RANGES_LIMIT:
            raise ControlError("too many ranges", expected=f"at most {RANGES_LIMIT} in one request", found=len(topics))
        for schema, symbol, first, last in topics:
            if schema not in BY_WORD:
                raise ControlError("no such schema", expected=", ".join(BY_WORD), found=repr(schema)[:40])
            span = &self.ranges[i]
            span.first = first
            span.last = last
            span.met = last < first
            span.further = selection.add_topic(BY_WORD[schema].id, symbol, i)
            open_ += not span.met
            i += 1
        self.selection = selection
        self.ranges_open = open_

    def begin(self, *, epoch: int, first: int, last: int | None, nbytes: int, within_ns: int) -> None:
        """An answer about what was selected: seq `first` to `last`, about `nbytes` of log frames at most, found in about
        `within_ns`.
        """
        self.runs.begin(epoch, TC_FLAG_REPLAYED)
        self.first = self.next = first
        self.last = UINT64_MAX if last is None else last
        self.limit = nbytes
        self.deadline_ns = mono_ns() + <uint64_t>within_ns
        self.answers += 1

    def search(self, LogReader reader not None) -> str:
        """Go through the log from where `reader` stands; why it stopped, the word of a SCAN_*. The GIL is
        released.
        """
        cdef int what
        with nogil:
            what = self.log(reader)
        return self.outcome(what)

    def taken(self) -> list[bytes]:
        """The parts of the answer."""
        return self.runs.take(wall_ns())

    cdef str outcome(self, int what):
        if what == SCAN_FAILED:
            raise HostError("no memory for a replay", found=f"{self.runs.used} bytes")
        return ("end", "full", "time", "done", "lost", "met")[what]

    # --- the way through the log ------------------------------------------------------------------------------------

    cdef int log(self, LogReader reader) noexcept nogil:
        cdef const tc_log_frame* frame
        cdef tc_wire_log_header head
        cdef const tc_topic_entry* entry
        cdef uint8_t* copy
        cdef uint64_t at
        cdef uint32_t looked = 0
        cdef int what
        while True:
            self.next = max(self.next, reader.seq)
            what = self.satisfied()
            if what:
                return what
            frame = reader.peek()
            at = reader.at
            tc_prefetch(reader.data + ((at + AHEAD) & (reader.capacity - 1)))
            if frame == NULL:
                return SCAN_END if reader.intact(at) else SCAN_LOST
            memcpy(&head, frame, TC_FRAME_HEADER)
            # Proved before use: a torn length would lead to a place where no frame begins.
            if not reader.intact(at):
                return SCAN_LOST
            if head.kind == TC_KIND_RECORD and head.seq >= self.first:
                entry = &reader.topic_entries[head.topic_id]
                if self.wants(&head, entry):
                    copy = self.append(&head, <const uint8_t*>frame, entry)
                    if copy == NULL:
                        return SCAN_FAILED if self.runs.failed else SCAN_FULL
                    if not reader.intact(at):
                        return SCAN_LOST
                    self.runs.keep(copy, head.length)
            reader.at = at + head.length
            reader.seq = head.seq + (head.kind == TC_KIND_RECORD)
            looked += 1
            if looked % FRAMES_PER_LOOK == 0 and mono_ns() >= self.deadline_ns:
                self.next = max(self.next, reader.seq)
                return SCAN_TIME

    cdef int satisfied(self) noexcept nogil:
        if self.selection.by_schema and self.ranges_open == 0:
            return SCAN_MET
        return SCAN_DONE if self.next > self.last else 0

    cdef bint wants(self, const tc_wire_log_header* head, const tc_topic_entry* entry) noexcept nogil:
        cdef Known* known
        cdef Range* span
        cdef int32_t i
        cdef bint wanted = False
        if head.topic_id >= self.known_room and not self._grow(head.topic_id):
            return True         # append() fails then
        known = &self.known[head.topic_id]
        if known.answer != self.answers:
            known.answer = self.answers
            known.value = self.selection.find(entry)
            known.announced = False
        if known.value == SELECTED_NOT or not self.selection.by_schema:
            return known.value != SELECTED_NOT
        i = known.value
        while i != SELECTED_NOT:
            span = &self.ranges[i]
            wanted |= span.first <= head.topic_seq <= span.last
            if head.topic_seq >= span.last and not span.met:
                span.met = True
                self.ranges_open -= 1
            i = span.further
        return wanted

    cdef uint8_t* append(self, const tc_wire_log_header* head, const uint8_t* frame, const tc_topic_entry* entry) noexcept nogil:
        cdef Known* known
        cdef size_t more = head.length
        cdef uint8_t* to
        if self.runs.failed:
            return NULL
        known = &self.known[head.topic_id]
        if not known.announced:
            more += TC_FRAME_HEADER + sizeof(tc_topic_entry)
        if self.runs.frames_bytes and self.runs.frames_bytes + more > self.limit:
            return NULL
        if not known.announced:
            if not self.runs.topic(head.topic_id, entry, head.seq, 0, head.ts_in):
                return NULL
            known.announced = True
        to = self.runs.room(head.length)
        if to != NULL:
            memcpy(to, frame, head.length)
        return to

    cdef bint _grow(self, uint32_t topic_id) noexcept nogil:
        cdef uint32_t room = max(self.known_room, <uint32_t>1024)
        cdef Known* grown
        while room <= topic_id and room < TOPIC_IDS:
            room *= 2
        grown = <Known*>realloc(self.known, room * sizeof(Known)) if room > topic_id else NULL
        if grown == NULL:
            self.runs.failed = True
            return False
        memset(&grown[self.known_room], 0, (room - self.known_room) * sizeof(Known))
        self.known = grown
        self.known_room = room
        return True


def seek_time(LogReader reader not None, time_ns: int) -> tuple[int, bool]:
    """Stand at the first record with a ts_in of `time_ns` or later, as far as the log is in order of ts_in (records of
    sources with threads of their own may be some µs out of it); at the end if there is none.

    Gives the seq there, and whether a record with an earlier ts_in was met.
    """
    cdef uint64_t wanted = time_ns
    cdef bint passed
    with nogil:
        passed = _seek_time(reader, wanted)
    return reader.seq, passed


cdef bint _seek_time(LogReader reader, uint64_t wanted) noexcept nogil:
    cdef uint64_t low, start, first, last, middle
    cdef const tc_log_frame* frame
    cdef bint passed
    while True:
        low = tc_low(&reader.header.low)
        first = 0
        last = (tc_read_published(&reader.header.tail) - low) // reader.segment_bytes
        # Segments begin with a whole frame. Of those that begin before that time, the last one has the record, if any has.
        while first < last:
            middle = (first + last + 1) // 2
            frame = <const tc_log_frame*>(reader.data + ((low + middle * reader.segment_bytes) & (reader.capacity - 1)))
            if tc_committed(frame) != 0 and frame.ts_in < wanted:
                first = middle
            else:
                last = middle - 1
        start = low + first * reader.segment_bytes
        frame = <const tc_log_frame*>(reader.data + (start & (reader.capacity - 1)))
        reader.at = start
        reader.seq = frame.seq if tc_committed(frame) != 0 else tc_read_published(&reader.header.next_seq)
        passed = first != 0
        frame = reader.peek()
        while frame != NULL and (frame.kind != TC_KIND_RECORD or frame.ts_in < wanted):
            passed |= frame.kind == TC_KIND_RECORD
            reader.advance(frame)
            frame = reader.peek()
        # Whatever was read on the way counts only if it still stands.
        if reader.intact(start):
            return passed


def stand(LogReader reader not None, seq: int, position: int = 0) -> int:
    """Stand at record `seq`, and give the seq there: a greater one is the oldest that is left, a lower one the end.

    :param position: where that record is known to begin, 0: it has to be looked for.
    """
    cdef uint64_t wanted = seq
    cdef uint64_t known = position
    with nogil:
        if known and reader.intact(known):
            reader.at = known
            reader.seq = wanted
        else:
            reader.seek_seq(wanted)
    return reader.seq


def standing(LogReader reader not None) -> int:
    """seq of the record before which `reader` stands."""
    return reader.seq


def step_aside(LogReader reader not None) -> None:
    """Report a reader that goes where it is asked to, and has read nothing yet or all, as level with the log."""
    tc_report(&reader.slot.position, tc_read_published(&reader.header.tail))
