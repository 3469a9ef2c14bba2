from libc.stdint cimport uint32_t, uint64_t


cdef class Doorbell:
    cdef const uint32_t* sleepers   # the futex word that readers sleep on
    cdef uint32_t* bell             # counts requests; private to this process
    cdef uint64_t delay_ns
    cdef bint stopping
    cdef object _thread

    cdef void ring(self) noexcept nogil
    cdef void _serve(self) noexcept nogil
