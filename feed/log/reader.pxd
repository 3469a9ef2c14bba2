"""Table of contents of the log's reader, for cimport."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from feed.log.layout cimport tc_log_frame, tc_log_header, tc_reader_slot, tc_readers, tc_topic_entry

cdef enum:
    READ_NONE = 0       # nothing is waiting
    READ_FRAME = 1      # one frame
    READ_LOST = 2       # overtaken: `lost_first` .. `lost_last` (seq) are gone; goes on at the oldest whole frame
    READ_CLOSED = 3     # the feed ended cleanly or began a new log: nothing more will come here


cdef class LogReader:
    # --- borrowed from the mapping: valid until close() ---
    cdef const tc_log_header* header
    cdef const uint8_t* data                 # the segments
    cdef const uint64_t* topic_seqs          # last topic_seq of each topic, indexed by topic id
    cdef const tc_topic_entry* topic_entries
    cdef tc_readers* readers
    cdef tc_reader_slot* slot
    # --- state of this reader ---
    cdef uint64_t position                   # of the next frame to read
    cdef uint64_t mask                       # log bytes - 1
    cdef uint64_t segment_mask
    cdef uint64_t next_seq                   # seq that the next record should have; 0: not known yet
    cdef readonly uint64_t lost_first, lost_last
    cdef uint8_t* scratch                    # next()'s private copy of a frame
    cdef object _maps, _fds, _directory, _name

    # Copy the next frame (any kind but padding) into `scratch` and validate it. Returns READ_*; on READ_FRAME
    # `frame()` is the copy, and the position has moved behind it.
    cdef int next(self) noexcept nogil
    cdef const tc_log_frame* frame(self) noexcept nogil

    # Zero copy: the next frame inside the mapping, or NULL when there is none. BORROWED and unproved: whatever was taken
    # from it counts only if intact(position of that frame) is true afterwards. Does not move; skip padding with it.
    cdef const tc_log_frame* peek(self) noexcept nogil
    cdef void advance(self, const tc_log_frame* frame, uint32_t length) noexcept nogil
    # True if nothing at or above `position` has been overwritten up to now (acquire).
    cdef bint intact(self, uint64_t position) noexcept nogil
    # After intact() was false: jump to the oldest whole frame. Sets lost_first, lost_last. Returns READ_LOST.
    cdef int overtaken(self) noexcept nogil

    # Is a frame waiting? Wait until one is, spinning or asleep on the doorbell; true if one is.
    cdef bint ready(self) noexcept nogil
    cdef bint spin(self, uint64_t timeout_ns) noexcept nogil
    cdef bint park(self, uint64_t timeout_ns) noexcept nogil
    # Tell the writer and the people how far this reader is.
    cdef void report(self) noexcept nogil
