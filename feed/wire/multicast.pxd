"""C names of multicast.h for cimport: what each call promises stands there."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "feed/wire/multicast.h" nogil:
    enum:
        TC_BURST

    ctypedef struct sockaddr_in "struct sockaddr_in":
        pass

    ctypedef struct tc_burst:
        sockaddr_in* peers

    int tc_send(int fd, const uint8_t* data, size_t n, const sockaddr_in* to) noexcept
    void tc_burst_put(tc_burst* burst, int i, uint8_t* data, size_t n, const sockaddr_in* to) noexcept
    int tc_burst_send(tc_burst* burst, int fd, int first, int end) noexcept
    void tc_burst_arm(tc_burst* burst, uint8_t* at, size_t room) noexcept
    int tc_burst_receive(tc_burst* burst, int fd) noexcept
    int tc_burst_await(tc_burst* burst, int fd, uint64_t timeout_ns) noexcept
    uint32_t tc_burst_length(const tc_burst* burst, int i) noexcept
    uint64_t tc_burst_stamp(tc_burst* burst, int i) noexcept
    void tc_address(sockaddr_in* out, uint32_t host_be, uint16_t port) noexcept
    bint tc_wait(const int* fds, int n, short events, uint64_t timeout_ns) noexcept
