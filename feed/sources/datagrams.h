/* Many datagrams of a socket with one system call (recvmmsg(2)): up to TC_DATAGRAMS, each into a room of its own. */
#ifndef TICKCAST_SOURCES_DATAGRAMS_H
#define TICKCAST_SOURCES_DATAGRAMS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { TC_DATAGRAMS = 32, TC_DATAGRAM_ROOM = 65536 };

/* Those that wait, at once; how many, 0: none, -1: errno says why. The i-th lies at room + i * TC_DATAGRAM_ROOM and has
 * length[i] bytes. */
static inline int tc_datagrams(int fd, uint8_t *room, uint32_t *length)
{
    struct mmsghdr each[TC_DATAGRAMS];
    struct iovec at[TC_DATAGRAMS];
    int i, n;
    memset(each, 0, sizeof each);
    for (i = 0; i < TC_DATAGRAMS; i++) {
        at[i].iov_base = room + (size_t)i * TC_DATAGRAM_ROOM;
        at[i].iov_len = TC_DATAGRAM_ROOM;
        each[i].msg_hdr.msg_iov = &at[i];
        each[i].msg_hdr.msg_iovlen = 1;
    }
    n = recvmmsg(fd, each, TC_DATAGRAMS, MSG_DONTWAIT, NULL);
    for (i = 0; i < n; i++)
        length[i] = each[i].msg_len;
    return n;
}

#endif
