# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""A thread that wakes many sleepers, so that the writer wakes only the thread: one system call, however many bots sleep."""

import threading

from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

from feed.clock cimport wall_ns, wall_sleep_until
from feed.log.fences cimport tc_futex_wait, tc_futex_wake, tc_publish32, tc_read_published32

cdef uint64_t LOOK_AGAIN_NS = 1000000000


cdef class Doorbell:
    """Wakes all who sleep on the word at address `sleepers`, `delay_us` after being rung; rings in between are one."""

    def __cinit__(self, sleepers: int, delay_us: int) -> None:
        self.bell = <uint32_t*>calloc(1, sizeof(uint32_t))
        if self.bell == NULL:
            raise MemoryError
        self.sleepers = <const uint32_t*><uintptr_t>sleepers
        self.delay_ns = <uint64_t>delay_us * 1000
        self._thread = None

    def __dealloc__(self) -> None:
        free(self.bell)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends and joins the thread; the word may be unmapped afterwards."""
        if self._thread is not None:
            self.stopping = True
            self.ring()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        with nogil:
            self._serve()

    cdef void ring(self) noexcept nogil:
        tc_publish32(self.bell, self.bell[0] + 1)
        tc_futex_wake(self.bell)

    cdef void _serve(self) noexcept nogil:
        cdef uint32_t served = 0
        cdef uint32_t rung
        while True:
            rung = tc_read_published32(self.bell)
            if rung == served:
                tc_futex_wait(self.bell, rung, LOOK_AGAIN_NS)
                continue
            if self.stopping:
                return
            if self.delay_ns:
                wall_sleep_until(wall_ns() + self.delay_ns)
                rung = tc_read_published32(self.bell)
            served = rung
            tc_futex_wake(self.sleepers)
