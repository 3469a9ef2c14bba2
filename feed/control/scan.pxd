"""Table of contents of the search for what a bot missed, for cimport."""

from libc.stdint cimport int32_t, uint32_t, uint64_t, uint8_t

from feed.control.runs cimport Runs
from feed.control.selection cimport Selection
from feed.log.layout cimport tc_topic_entry
from feed.log.reader cimport LogReader
from feed.wire.frames cimport tc_wire_log_header

cdef enum:
    RANGES_LIMIT = 1000

cdef enum:
    SCAN_END = 0            # nothing more is there now
    SCAN_FULL = 1           # the answer is as large as it may be
    SCAN_TIME = 2           # it took as long as it may take
    SCAN_DONE = 3           # nothing more is wanted: it came to the last seq
    SCAN_LOST = 4           # the log has used the place again: what comes next is gone from there
    SCAN_MET = 5            # the same: all ranges of all topics have been met
    SCAN_FAILED = 6         # no memory

# Consecutive numbers of one topic.
ctypedef struct Range:
    uint64_t first, last
    int32_t further         # the next range of the same topic, else SELECTED_NOT
    bint met                # its last one was met, or a later one

# What this answer knows of a topic.
ctypedef struct Known:
    uint32_t answer         # the answer that found it out
    int32_t value           # what the selection says
    bint announced          # its TOPIC frame is in the answer


cdef class Scan:
    cdef Runs runs
    cdef Selection selection
    cdef Range ranges[RANGES_LIMIT]
    cdef uint32_t ranges_open
    cdef Known* known                   # by topic id
    cdef uint32_t known_room, answers
    cdef size_t limit                   # bytes of log frames that the answer should not exceed
    cdef uint64_t first, last           # seq that are wanted
    cdef uint64_t deadline_ns           # monotonic
    cdef readonly uint64_t next         # everything wanted below it is in the answer

    # Search the log from where `reader` stands. Returns SCAN_*; `next` says how far it came.
    cdef int log(self, LogReader reader) noexcept nogil
    # In three steps, for one record: is it wanted? Append it: NULL, if there is no room (or no memory: runs.failed). Once the
    # copy is known to be whole, it counts after runs.keep().
    cdef bint wants(self, const tc_wire_log_header* head, const tc_topic_entry* entry) noexcept nogil
    cdef uint8_t* append(self, const tc_wire_log_header* head, const uint8_t* frame, const tc_topic_entry* entry) noexcept nogil
    # SCAN_DONE or SCAN_MET; 0: there may be more that is wanted.
    cdef int satisfied(self) noexcept nogil
    # SCAN_* in words; raises HostError for SCAN_FAILED.
    cdef str outcome(self, int what)

    cdef bint _grow(self, uint32_t topic_id) noexcept nogil
