"""Table of contents of a publisher's batch, for cimport."""

from libc.stdint cimport uint32_t, uint64_t

from feed.log.layout cimport tc_log_frame
from feed.log.reader cimport LogReader
from feed.publish.interest cimport Interest
from feed.publish.outlet cimport Outlet
from feed.wire.frames cimport tc_wire_header

cdef enum:
    BATCH_FRAMES = 2048             # log frames that one gather() passes at most
    BATCH_BYTES = 512 * 1024        # and bytes of the log: what is still in the second-level cache when it is copied

cdef enum:
    GATHER_FULL = 0                 # there may be more
    GATHER_DRY = 1                  # nothing more is waiting
    GATHER_TOPICS = 2               # the next frame is of a topic that is not known yet: learn, then go on
    GATHER_LOST = 3                 # overtaken

cdef enum:
    BUILD_DONE = 1
    BUILD_OVERWRITTEN = 0           # the log has used the place again: this frame and all behind it are lost
    BUILD_FAILED = -1               # the outlet has the error

# A frame to be: records of one topic that follow each other.
ctypedef struct Planned:
    tc_wire_header header           # of the wire; `flags` without the loss
    uint64_t at                     # position of its first record in the log
    uint64_t committed              # of its first record, wall ns; 0: not known
    uint32_t topic
    uint32_t first, last            # its records: a list through `follows`


cdef class Batch:
    cdef uint32_t limit             # records in a frame at most
    cdef uint32_t take              # log frames that one gather() passes at most
    cdef uint32_t frames            # planned
    cdef uint32_t at                # the next one to be built; == frames: the batch is done
    cdef uint32_t passed            # log frames that the last gather() went past, of all kinds
    cdef uint64_t misfits           # records whose size is not their schema's; the caller takes them away
    cdef Planned plan[BATCH_FRAMES]
    cdef const tc_log_frame* records[BATCH_FRAMES]      # BORROWED and unproved until intact() after the copy
    cdef uint32_t follows[BATCH_FRAMES]

    # Plan frames from what is waiting, move the reader behind it. Returns GATHER_*. `now` is monotonic.
    cdef int gather(self, LogReader reader, Interest interest, uint64_t now) noexcept nogil
    # Build the next planned frame in the outlet. Returns BUILD_*; only after BUILD_DONE is it taken from the plan.
    cdef int build(self, LogReader reader, Interest interest, Outlet outlet) noexcept nogil
    # Give up what is planned; how many records that were.
    cdef uint64_t abandon(self) noexcept nogil
