"""Where a source puts its ticks: the log itself, or a ring in front of it. The two look the same to a source."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t


cdef class Sink:
    # Append one record without telling anybody yet. `ts_in` 0: the sink stamps it. Returns TOOK (1); 0 if there is no room
    # right now (a full ring: try again later; the log itself always has room); LEFT_OUT (2, feed/log/through.pxd) if it
    # is dealt with and not put in.
    cdef int append(self, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil
    # Make everything appended visible and wake whoever waits. Once per batch.
    cdef void flush(self) noexcept nogil
