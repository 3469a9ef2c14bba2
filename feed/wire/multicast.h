/* Many datagrams by one system call, as Linux has it: sendmmsg(2), recvmmsg(2), ppoll(2), and the time at which the kernel
 * had a datagram (SO_TIMESTAMPNS, socket(7)). The arrays that these calls want are kept ready; callers only say how many.
 */
#ifndef TICKCAST_WIRE_MULTICAST_H
#define TICKCAST_WIRE_MULTICAST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

enum {
    TC_BURST = 32,             /* datagrams of one system call at most */
    TC_CONTROL = 64,           /* bytes of ancillary data of one: a time stamp */
};

typedef struct {
    struct mmsghdr messages[TC_BURST];
    struct iovec pieces[TC_BURST];
    struct sockaddr_in peers[TC_BURST];
    char control[TC_BURST][TC_CONTROL];
    int filled;                /* messages that the last receive has written to */
    int more;                  /* there may be: something came last time */
    uint64_t timeout_ms;       /* as the socket has it that was waited for */
} tc_burst;

/* Message i is sent from `bytes` to `to`; NULL: to where its socket is connected. */
static inline void tc_burst_put(tc_burst* burst, int i, uint8_t* bytes, size_t n, const struct sockaddr_in* to) {
    memset(&burst->messages[i], 0, sizeof burst->messages[i]);
    burst->pieces[i].iov_base = bytes;
    burst->pieces[i].iov_len = n;
    burst->messages[i].msg_hdr.msg_iov = &burst->pieces[i];
    burst->messages[i].msg_hdr.msg_iovlen = 1;
    burst->messages[i].msg_hdr.msg_name = (void*)to;
    burst->messages[i].msg_hdr.msg_namelen = to ? sizeof *to : 0;
}

/* Send one datagram, where to as in tc_burst_put; 1, or -errno. Never waits. */
static inline int tc_send(int fd, const uint8_t* bytes, size_t n, const struct sockaddr_in* to) {
    const struct sockaddr* address = (const struct sockaddr*)to;
    return sendto(fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL, address, to ? sizeof *to : 0) < 0 ? -errno : 1;
}

/* Send messages `from` to below `to`; how many went, or -errno. Never waits. One alone takes the shorter way. */
static inline int tc_burst_send(tc_burst* burst, int fd, int from, int to) {
    const struct msghdr* first = &burst->messages[from].msg_hdr;
    int n;
    if (to - from == 1) return tc_send(fd, first->msg_iov->iov_base, first->msg_iov->iov_len, first->msg_name);
    n = sendmmsg(fd, burst->messages + from, (unsigned)(to - from), MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

/* Before a burst receives: its buffers, of `room` bytes each, lie one behind the other at `at`. */
static inline void tc_burst_arm(tc_burst* burst, uint8_t* at, size_t room) {
    int i;
    for (i = 0; i < TC_BURST; i++) {
        struct msghdr* header = &burst->messages[i].msg_hdr;
        burst->pieces[i].iov_base = at + (size_t)i * room;
        burst->pieces[i].iov_len = room;
        header->msg_iov = &burst->pieces[i];
        header->msg_iovlen = 1;
        header->msg_name = &burst->peers[i];
        header->msg_control = burst->control[i];
    }
    burst->filled = TC_BURST;
    burst->more = 0;
}

static inline int tc_burst_take(tc_burst* burst, int fd, int flags) {
    int i, n;
    for (i = 0; i < burst->filled; i++) {
        struct msghdr* header = &burst->messages[i].msg_hdr;
        header->msg_namelen = sizeof burst->peers[i];
        header->msg_controllen = TC_CONTROL;
        header->msg_flags = 0;
    }
    if (burst->more)
        n = recvmmsg(fd, burst->messages, TC_BURST, flags | MSG_WAITFORONE, NULL);
    else {
        ssize_t length = recvmsg(fd, &burst->messages[0].msg_hdr, flags);
        burst->messages[0].msg_len = (unsigned)length;
        n = length < 0 ? -1 : 1;
    }
    burst->filled = n < 0 ? 0 : n;
    burst->more = n > 0;
    return n < 0 ? -errno : n;
}

/* Take what is there; how many, or -errno. Never waits.
 * The first one after a silence is taken alone: for the kernel to look in vain for a second takes half a microsecond. */
static inline int tc_burst_receive(tc_burst* burst, int fd) { return tc_burst_take(burst, fd, MSG_DONTWAIT); }

/* As tc_burst_receive, and waits for the first, `timeout_ns` at most, in milliseconds. One system call less than to poll
 * first stands between the datagram and whoever sleeps here. */
static inline int tc_burst_await(tc_burst* burst, int fd, uint64_t timeout_ns) {
    uint64_t ms = timeout_ns / 1000000u + 1;
    struct timeval t = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    if (ms != burst->timeout_ms) {
        if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) != 0) return -errno;
        burst->timeout_ms = ms;
    }
    return tc_burst_take(burst, fd, 0);
}

/* Length of message i, 0 if it was cut off. */
static inline uint32_t tc_burst_length(const tc_burst* burst, int i) {
    return burst->messages[i].msg_hdr.msg_flags & MSG_TRUNC ? 0 : burst->messages[i].msg_len;
}

/* When the kernel had message i, wall ns; 0: it did not say. */
static inline uint64_t tc_burst_stamp(tc_burst* burst, int i) {
    struct msghdr* header = &burst->messages[i].msg_hdr;
    struct cmsghdr* each;
    for (each = CMSG_FIRSTHDR(header); each != NULL; each = CMSG_NXTHDR(header, each))
        if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(each), sizeof t);
            return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
        }
    return 0;
}

static inline void tc_address(struct sockaddr_in* out, uint32_t host_be, uint16_t port) {
    memset(out, 0, sizeof *out);
    out->sin_family = AF_INET;
    out->sin_addr.s_addr = host_be;
    out->sin_port = htons(port);
}

/* Until one of `n` descriptors is ready, at most `timeout_ns`; true if one is. */
static inline int tc_wait(const int* fds, int n, short events, uint64_t timeout_ns) {
    struct pollfd items[n];
    struct timespec t = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    int i;
    for (i = 0; i < n; i++) {
        items[i].fd = fds[i];
        items[i].events = events;
        items[i].revents = 0;
    }
    return ppoll(items, (nfds_t)n, &t, NULL) > 0;
}

#endif
