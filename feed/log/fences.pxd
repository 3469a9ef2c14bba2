"""C names of fences.h and futex.h for cimport; what each pairs with is said there."""

from libc.stdint cimport uint32_t, uint64_t

from feed.log.layout cimport tc_log_frame

cdef extern from "feed/log/fences.h" nogil:
    void tc_clear_next(tc_log_frame* next)
    void tc_commit(tc_log_frame* frame, uint32_t length)
    uint32_t tc_committed(const tc_log_frame* frame)
    void tc_void_below(uint64_t* low, uint64_t position)
    uint64_t tc_low_after_copy(const uint64_t* low)
    uint64_t tc_low(const uint64_t* low)
    void tc_publish(uint64_t* word, uint64_t value)
    void tc_publish32(uint32_t* word, uint32_t value)
    uint64_t tc_read_published(const uint64_t* word)
    uint32_t tc_read_published32(const uint32_t* word)
    void tc_report(uint64_t* position, uint64_t value)
    void tc_note32(uint32_t* word, uint32_t value)
    uint32_t tc_noted32(const uint32_t* word)
    uint32_t tc_rings(const uint32_t* doorbell)
    void tc_say_waiting(uint32_t* waiters)
    bint tc_somebody_waits(const uint32_t* waiters)
    void tc_ring(uint32_t* waiters, uint32_t* doorbell)

cdef extern from "feed/log/futex.h" nogil:
    void tc_futex_wait(const uint32_t* word, uint32_t value, uint64_t timeout_ns)
    void tc_futex_wake(const uint32_t* word)
    void tc_pause()
