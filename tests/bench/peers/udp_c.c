/* Peer: the floor for multicast, one-way over plain UDP in C. `feed bench ... --transport mold --vs udp-c` runs it.
 *
 *   cc -O2 udp_c.c -o udp_c
 *   udp_c pub GROUP:PORT@ADDRESS TICKS      GAP_NS HWM MESSAGE STAMP_AT VALUES_AT
 *   udp_c sub GROUP:PORT@ADDRESS TICKS WARM SPIN   HWM TOPIC   STAMP_AT VALUES_AT LATE
 *
 * ADDRESS: of the interface. MESSAGE: a file with the bytes of one message; each is stamped with the time (u64 ns,
 * CLOCK_REALTIME) at STAMP_AT and has two values (u64) at VALUES_AT. TICKS are sent, the first WARM are left out of every
 * figure; HWM and TOPIC are there because the other peers have them.
 * GAP_NS > 0, paced: one message in a datagram by send(2), stamped just before the call, or, more than one gap behind, with
 * the intended time; `sub` writes every latency (u64 ns, in order) to the file LATE ("-": none). GAP_NS 0, flat out: as many
 * messages as 1472 bytes hold in a datagram, each behind its length (u16), 16 of these in a sendmmsg(2). Nothing is recovered: `got` says what came.
 * `sub` prints {"joined": true} and `pub` begins with a line of its standard input; each prints its figures, and `pub` stays
 * until its standard input ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 1472, CALL = 16, TAKE = 32, QUIET_MS = 4000, BUFFER = 8 << 20, ENDS = 20 };

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t at) {
    struct timespec t = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, 0);
}

static void check(int result, const char *what) {
    if (result >= 0) return;
    perror(what);
    exit(1);
}

static int open_socket(const char *place, struct sockaddr_in *group, struct in_addr *interface) {
    char host[64], address[64];
    int port, big = BUFFER, one = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (sscanf(place, "%63[0-9.]:%d@%63[0-9.]", host, &port, address) != 3) { fprintf(stderr, "%s: no place\n", place); exit(2); }
    *group = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &group->sin_addr);
    inet_pton(AF_INET, address, interface);
    check(fd, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
    return fd;
}

static int publish(char **argument) {
    uint64_t ticks = strtoull(argument[1], 0, 10), gap = strtoull(argument[2], 0, 10);
    size_t stamp_at = strtoull(argument[5], 0, 10), values_at = strtoull(argument[6], 0, 10);
    static char message[PAYLOAD], body[CALL][PAYLOAD];
    char line[256];
    struct sockaddr_in group;
    struct in_addr interface;
    struct iovec piece[CALL];
    struct mmsghdr batch[CALL];
    FILE *file = fopen(argument[4], "rb");
    if (!file) { perror(argument[4]); return 1; }
    size_t bytes = fread(message, 1, sizeof message, file);
    fclose(file);
    if (stamp_at + 8 > bytes || values_at + 16 > bytes) { fprintf(stderr, "the message is too short\n"); return 2; }

    int fd = open_socket(argument[0], &group, &interface);
    check(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof interface), "IP_MULTICAST_IF");
    check(connect(fd, (void *)&group, sizeof group), "connect");
    printf("{\"endpoint\": \"%s\"}\n", argument[0]);
    fflush(stdout);
    if (read(0, line, sizeof line) <= 0) return 1;

    memset(batch, 0, sizeof batch);
    uint64_t at = now() + 100000000, sum = 0, per = gap ? 1 : PAYLOAD / (bytes + sizeof(uint16_t));
    for (uint64_t i = 0; i < ticks;) {
        uint64_t stamp = 0;
        int datagrams = 0;
        if (gap) {
            at += gap;
            sleep_until(at);
            stamp = now();
            if (stamp > at + gap) stamp = at;
        }
        for (; datagrams < (gap ? 1 : CALL) && i < ticks; datagrams++) {
            char *to = body[datagrams];
            for (uint64_t k = 0; k < per && i < ticks; k++, i++, to += bytes) {
                uint16_t length = (uint16_t)bytes;
                if (!gap) memcpy(to, &length, sizeof length), to += sizeof length;
                uint64_t value = (i * 0x9E3779B97F4A7C15u) >> 24, values[2] = {value, value + 1 + (i & 255)};
                memcpy(to, message, bytes);
                memcpy(to + stamp_at, &stamp, 8);
                memcpy(to + values_at, values, 16);
                sum += values[0] + values[1];
            }
            piece[datagrams] = (struct iovec){body[datagrams], (size_t)(to - body[datagrams])};
            batch[datagrams].msg_hdr.msg_iov = &piece[datagrams];
            batch[datagrams].msg_hdr.msg_iovlen = 1;
        }
        if (gap) check((int)send(fd, body[0], bytes, 0), "send");
        else for (int done = 0; done < datagrams;) {
            int sent = sendmmsg(fd, batch + done, (unsigned)(datagrams - done), 0);
            check(sent, "sendmmsg");
            done += sent;
        }
    }
    for (int i = 0; i < ENDS; i++) {
        sleep_until(now() + 2000000);
        check((int)send(fd, "", 1, 0), "send");
    }
    printf("{\"sent\": %lu, \"checksum\": %lu}\n", (unsigned long)ticks, (unsigned long)sum);
    fflush(stdout);
    while (read(0, line, sizeof line) > 0) {}
    return 0;
}

static int subscribe(char **argument) {
    uint64_t ticks = strtoull(argument[1], 0, 10), warm = strtoull(argument[2], 0, 10);
    int spin = atoi(argument[3]), timed = strcmp(argument[8], "-") != 0, over = 0;
    uint16_t length;
    size_t stamp_at = strtoull(argument[6], 0, 10), values_at = strtoull(argument[7], 0, 10);
    static char body[TAKE][PAYLOAD];
    struct sockaddr_in group;
    struct in_addr interface;
    struct iovec piece[TAKE];
    struct mmsghdr batch[TAKE];
    int fd = open_socket(argument[0], &group, &interface);
    struct ip_mreq join = {group.sin_addr, interface};
    check(bind(fd, (void *)&group, sizeof group), "bind");
    check(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join), "join");
    memset(batch, 0, sizeof batch);
    for (int i = 0; i < TAKE; i++) {
        piece[i] = (struct iovec){body[i], PAYLOAD};
        batch[i].msg_hdr.msg_iov = &piece[i];
        batch[i].msg_hdr.msg_iovlen = 1;
    }
    printf("{\"joined\": true}\n");
    fflush(stdout);

    uint64_t *late = timed ? malloc(ticks * sizeof *late) : NULL, got = 0, first = 0, last = 0, sum = 0;
    if (timed) memset(late, 1, ticks * sizeof *late); /* no page fault while it counts */
    while (got < ticks && !over) {
        int datagrams = -1;
        uint64_t until = now() + QUIET_MS * 1000000ull;
        if (spin || timed) {
            /* One datagram a call, as it comes. */
            ssize_t n;
            struct pollfd item = {fd, POLLIN, 0};
            if (!spin && poll(&item, 1, QUIET_MS) <= 0) break;
            do n = recv(fd, body[0], PAYLOAD, MSG_DONTWAIT); while (n < 0 && spin && now() < until);
            if (n < 0) break;
            datagrams = 1;
            batch[0].msg_len = (unsigned)n;
        } else {
            struct pollfd item = {fd, POLLIN, 0};
            if (poll(&item, 1, QUIET_MS) > 0) datagrams = recvmmsg(fd, batch, TAKE, MSG_DONTWAIT, NULL);
            if (datagrams <= 0) break;
        }
        for (int i = 0; i < datagrams; i++) {
            if (batch[i].msg_len == 1) { over = 1; continue; }
            for (const char *data = body[i]; data < body[i] + batch[i].msg_len && got < ticks; data += length) {
                length = (uint16_t)batch[i].msg_len;
                if (!timed) memcpy(&length, data, sizeof length), data += sizeof length;
                if (timed) {
                    uint64_t sent;
                    memcpy(&sent, data + stamp_at, 8);
                    last = now();
                    late[got] = last > sent ? last - sent : 0;
                }
                if (got++ == warm) first = timed ? last : now();
                uint64_t values[2];
                memcpy(values, data + values_at, 16);
                sum += values[0] + values[1];
            }
        }
        if (!timed && !over) last = now();
    }
    if (timed) {
        FILE *file = fopen(argument[8], "wb");
        size_t kept = got > warm ? got - warm : 0;
        if (!file || fwrite(late + warm, sizeof *late, kept, file) != kept || fclose(file)) { perror(argument[8]); return 1; }
    }
    printf("{\"got\": %lu, \"first_ns\": %lu, \"last_ns\": %lu, \"checksum\": %lu}\n", (unsigned long)got, (unsigned long)first, (unsigned long)last, (unsigned long)sum);
    return 0;
}

int main(int count, char **argument) {
    int pub = count == 9 && !strcmp(argument[1], "pub"), sub = count == 11 && !strcmp(argument[1], "sub");
    if (!pub && !sub) { fprintf(stderr, "usage: see the head of the source\n"); return 2; }
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, 9);
    return pub ? publish(argument + 2) : subscribe(argument + 2);
}
