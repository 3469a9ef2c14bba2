"""Table of contents of the log's reader, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from feed.log.layout cimport tc_log_frame, tc_log_header, tc_reader_slot, tc_readers, tc_topic_entry

cdef enum:
    READ_NONE = 0       # nothing is waiting
    READ_FRAME = 1      # one frame
    READ_LOST = 2       # overtaken: `lost_first` .. `lost_last` (seq) are gone; goes on at the oldest whole frame
    READ_CLOSED = 3     # the feed ended cleanly or began a new log: nothing more will come here

cdef enum:
    FRAME_MAX = 4096    # no frame but padding is longer


cdef class LogReader:
    # --- BORROWED from the mapping, valid until close() ---
    cdef const tc_log_header* header
    cdef const uint8_t* data                 # the segments
    cdef const uint64_t* topic_seqs          # last topic_seq of each topic, indexed by topic id
    cdef const tc_topic_entry* topic_entries
    cdef tc_readers* readers
    cdef tc_reader_slot* slot
    # --- where this reader stands ---
    cdef uint64_t at                         # position of the next frame to read
    cdef uint64_t seq                        # seq of the next record
    cdef readonly uint64_t lost_first, lost_last
    cdef uint64_t capacity, segment_bytes
    cdef uint32_t peeked                     # length of the frame that peek() gave
    cdef uint8_t scratch[FRAME_MAX]          # next()'s private copy of a frame
    cdef object _maps, _directory, _name

    # Copy the next frame (any kind but padding) and validate the copy. Returns READ_*; on READ_FRAME frame() is the copy
    # and this reader stands behind it.
    cdef int next(self) noexcept nogil
    cdef const tc_log_frame* frame(self) noexcept nogil

    # Zero copy, in three steps. peek(): the next frame inside the mapping (any kind but padding); NULL when there is none
    # or the place is overwritten already (intact(at) tells which).
    # BORROWED and unproved: what was taken from it counts only if intact(position) is true afterwards, `position` being
    # `at` before the first peek() of the batch. advance(): stand behind the frame that
    # the last peek() gave.
    cdef const tc_log_frame* peek(self) noexcept nogil
    cdef void advance(self, const tc_log_frame* frame) noexcept nogil
    cdef bint intact(self, uint64_t position) noexcept nogil
    # After intact() was false: stand at the oldest whole frame. `seq` is the first that was not dealt with; returns
    # READ_LOST and sets lost_first and lost_last, or READ_NONE if only padding was overwritten.
    cdef int overtaken(self, uint64_t seq) noexcept nogil

    # Is anything waiting (a frame, or news that we were overtaken)? Wait until it is: spinning, or asleep on the doorbell.
    cdef bint ready(self) noexcept nogil
    cdef bint spin(self, uint64_t timeout_ns) noexcept nogil
    cdef bint park(self, uint64_t timeout_ns) noexcept nogil
    cdef bint closed(self) noexcept nogil
    # Tell the writer and people how far this reader is; also what start="resume" goes on from. Once per batch.
    cdef void report(self) noexcept nogil

    cdef uint64_t _room(self) noexcept nogil
    cdef void _stand_at(self, uint64_t position) noexcept nogil

    # Stand at the first frame that belongs to record `seq` or later (its topic's announcement, if that comes right before), or
    # at the end. False: it was overwritten; this stands at the oldest frame.
    cdef bint seek_seq(self, uint64_t seq) noexcept nogil
