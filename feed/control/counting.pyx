# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""How many records of some topics the log has from one seq to another: what a bot should have counted too."""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from feed.clock cimport mono_ns
from feed.control.selection cimport SELECTED_NOT, Selection
from feed.log.fences cimport tc_read_published, tc_report
from feed.log.layout cimport TC_KIND_RECORD, tc_log_frame
from feed.log.reader cimport LogReader

cdef enum:
    FRAMES_PER_LOOK = 512       # between two looks at the clock
    NOT_ASKED = 0               # else 1: not selected, 2: selected
    NOT_SELECTED = 1
    IS_SELECTED = 2


cdef class Counting:
    """Counts in the log in `directory`, as one of its readers.

    :raises LogMissing: there is no log.
    """

    cdef LogReader log
    cdef Selection selection        # of which `known` is kept
    cdef unsigned char* known       # by topic id
    cdef uint32_t room
    cdef uint64_t position, seq     # where the last one ended

    def __init__(self, directory) -> None:
        self.log = LogReader.open(directory, name="control.groups")
        self.room = self.log.header.max_topics
        self.known = <unsigned char*>calloc(self.room, 1)
        if self.known == NULL:
            raise MemoryError

    def __dealloc__(self) -> None:
        free(self.known)

    def close(self) -> None:
        self.log.close()

    @property
    def epoch(self) -> int:
        return self.log.epoch

    @property
    def state(self) -> str:
        return self.log.state

    def count(self, Selection selection not None, first: int, behind: int, within_ns: int) -> tuple[int, int] | None:
        """Count the selected records with `first` <= seq < `behind`, for about `within_ns`.

        Gives the seq up to which it came (`behind`, or less: go on from there) and how many there were; None: the log has
        used the place again.
        """
        cdef uint64_t wanted = first
        cdef uint64_t end = behind
        cdef uint64_t deadline_ns = mono_ns() + <uint64_t>within_ns
        cdef uint64_t found = 0
        cdef bint there
        if selection is not self.selection:
            self.selection = selection
            memset(self.known, NOT_ASKED, self.room)
        with nogil:
            if self.seq == wanted and self.log.intact(self.position):
                self.log.at = self.position
                self.log.seq = wanted
                there = True
            else:
                there = self.log.seek_seq(wanted)
            there = there and self._count(end, deadline_ns, &found)
            self.position = self.log.at
            self.seq = self.log.seq
            tc_report(&self.log.slot.position, tc_read_published(&self.log.header.tail))     # it is behind nobody
        return (min(self.seq, end), found) if there else None

    cdef bint _count(self, uint64_t end, uint64_t deadline_ns, uint64_t* found) noexcept nogil:
        """From where the reader stands; false if it was overtaken."""
        cdef uint64_t start = self.log.at
        cdef const tc_log_frame* frame
        cdef uint32_t looked = 0
        while self.log.seq < end:
            frame = self.log.peek()
            if frame == NULL:
                break
            if frame.kind == TC_KIND_RECORD:
                if frame.topic_id >= self.room:
                    return False        # torn: it was overwritten while it was read
                found[0] += self._is_selected(frame.topic_id)
            self.log.advance(frame)
            looked += 1
            if looked % FRAMES_PER_LOOK == 0:
                if not self.log.intact(start):
                    return False
                start = self.log.at
                if mono_ns() >= deadline_ns:
                    break
        return self.log.intact(start)

    cdef bint _is_selected(self, uint32_t topic_id) noexcept nogil:
        if self.known[topic_id] == NOT_ASKED:
            self.known[topic_id] = (
                NOT_SELECTED if self.selection.find(&self.log.topic_entries[topic_id]) == SELECTED_NOT else IS_SELECTED
            )
        return self.known[topic_id] == IS_SELECTED
