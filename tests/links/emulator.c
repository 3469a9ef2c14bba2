/* A link that is not perfect: between two interfaces, as a cable would be, what goes IN → OUT is dropped, doubled, delayed
 * or swapped with the packet behind it; the other way everything passes.
 *
 *   cc -O2 emulator.c -o emulator
 *   emulator IN OUT SEED TOUCHED
 *
 * Needs CAP_NET_RAW. Standard input says what happens, a line each time it is to change: DROP DOUBLE SWAP DELAY DELAY_US,
 * the first four in packets of a million; nothing at first. Only IPv4 multicast of the group range 239/8 is touched, so
 * that what heals, over unicast, is not. Each packet touched is a line of the file TOUCHED, written before it is sent on:
 *
 *   ACTION BYTES HEX      drop, double, swap (it was overtaken) or delay; its length; its UDP payload, 40 bytes at most
 *
 * SEED and the packets decide alone: the same traffic is treated the same each time. It prints "ready" once it carries, ends
 * with its standard input, and then prints what it did, as JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* With a virtio_net_hdr before each packet, checksums that a card would have filled in and packets that it would have cut up
 * stay what they are on the way through (packet(7), PACKET_VNET_HDR). */
enum { VNET_BYTES = 10, PACKET_MAX = 66000, LATE_MAX = 4096, SHOWN = 40, HOLD_US = 2000 };

typedef struct {
    uint64_t due_ns;
    int bytes;
    unsigned char *data;
} late_t;

static FILE *touched;
static uint64_t state;
static long drop, twice, swap, delay, delay_us;
static long seen, dropped, doubled, swapped, delayed;
static late_t late[LATE_MAX];
static int late_count;
static late_t held; /* waits to be overtaken */

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t draw(void) {
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static int open_end(const char *name) {
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), one = 1, bytes = 32 << 20;
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
    if (fd < 0) fail("socket");
    if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one)) fail("PACKET_VNET_HDR");
    if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one)) fail("PACKET_IGNORE_OUTGOING");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes)) fail("SO_RCVBUFFORCE");
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes)) fail("SO_SNDBUFFORCE");
    if (bind(fd, (void *)&at, sizeof at)) fail(name);
    return fd;
}

static void put(int fd, const unsigned char *data, int bytes) {
    while (send(fd, data, (size_t)bytes, 0) < 0 && (errno == EINTR || errno == ENOBUFS || errno == EAGAIN)) {}
}

/* The UDP payload of IPv4 multicast to 239/8; NULL: another packet, not to be touched. */
static const unsigned char *payload(const unsigned char *data, int bytes, int *length) {
    const unsigned char *ether = data + VNET_BYTES, *ip = ether + ETH_HLEN;
    int rest = bytes - VNET_BYTES - ETH_HLEN, head;
    if (rest < 20 || ether[12] != 8 || ether[13] != 0 || ip[16] != 239) return NULL;
    head = 4 * (ip[0] & 15) + (ip[9] == 17 ? 8 : 0);
    *length = rest > head ? rest - head : 0;
    return ip + head;
}

static void record(const char *action, const unsigned char *data, int bytes) {
    int length = 0;
    const unsigned char *at = payload(data, bytes, &length);
    fprintf(touched, "%s %d ", action, length);
    for (int i = 0; at && i < length && i < SHOWN; i++) fprintf(touched, "%02x", at[i]);
    fputc('\n', touched);
    fflush(touched);
}

static void keep(late_t *place, const unsigned char *data, int bytes, uint64_t due_ns) {
    place->data = malloc((size_t)bytes);
    if (!place->data) fail("malloc");
    memcpy(place->data, data, (size_t)bytes);
    place->bytes = bytes;
    place->due_ns = due_ns;
}

static void let_go(late_t *place, int out) {
    put(out, place->data, place->bytes);
    free(place->data);
    place->data = NULL;
}

/* One packet on its way to `out`. Each draws the same number of times, whatever happens to it. */
static void treat(int out, const unsigned char *data, int bytes) {
    int length;
    if (!payload(data, bytes, &length)) {
        put(out, data, bytes);
        return;
    }
    seen++;
    long lose = (long)(draw() % 1000000), copy = (long)(draw() % 1000000), overtake = (long)(draw() % 1000000), wait = (long)(draw() % 1000000);
    if (lose < drop) {
        dropped++;
        record("drop", data, bytes);
        return;
    }
    if (wait < delay && late_count < LATE_MAX) {
        delayed++;
        record("delay", data, bytes);
        keep(&late[late_count++], data, bytes, now_ns() + 1000u * (uint64_t)delay_us);
        return;
    }
    if (overtake < swap && !held.data) {
        swapped++;
        record("swap", data, bytes);
        keep(&held, data, bytes, now_ns() + 1000u * HOLD_US);
        return;
    }
    put(out, data, bytes);
    if (copy < twice) {
        doubled++;
        record("double", data, bytes);
        put(out, data, bytes);
    }
    if (held.data) let_go(&held, out);
}

/* Send on what has waited long enough; in how many ms to look again, -1: nothing waits. */
static int release(int out) {
    uint64_t now = now_ns(), next = UINT64_MAX;
    int kept = 0;
    for (int i = 0; i < late_count; i++) {
        if (late[i].due_ns <= now) {
            let_go(&late[i], out);
        } else {
            if (late[i].due_ns < next) next = late[i].due_ns;
            late[kept++] = late[i];
        }
    }
    late_count = kept;
    if (held.data && held.due_ns <= now) let_go(&held, out);
    if (held.data && held.due_ns < next) next = held.due_ns;
    return next == UINT64_MAX ? -1 : (int)((next - now) / 1000000u) + 1;
}

int main(int count, char **argument) {
    static unsigned char data[PACKET_MAX];
    char line[256];
    if (count != 5) {
        fprintf(stderr, "usage: see the head of the source\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, 9);
    int in = open_end(argument[1]), out = open_end(argument[2]);
    state = strtoull(argument[3], NULL, 10);
    touched = fopen(argument[4], "w");
    if (!touched) fail(argument[4]);
    printf("ready\n");
    fflush(stdout);

    for (;;) {
        struct pollfd ends[3] = {{in, POLLIN, 0}, {out, POLLIN, 0}, {0, POLLIN, 0}};
        if (poll(ends, 3, release(out)) < 0 && errno != EINTR) fail("poll");
        if (ends[2].revents) {
            ssize_t got = read(0, line, sizeof line - 1);
            if (got <= 0) break;
            line[got] = 0;
            if (sscanf(line, "%ld %ld %ld %ld %ld", &drop, &twice, &swap, &delay, &delay_us) != 5) {
                fprintf(stderr, "not five numbers: %s", line);
                return 2;
            }
            printf("done\n");
            fflush(stdout);
        }
        for (int i = 0; i < 256; i++) {
            ssize_t got = recv(in, data, sizeof data, MSG_DONTWAIT);
            if (got < VNET_BYTES) break;
            treat(out, data, (int)got);
        }
        for (int i = 0; i < 256; i++) {
            ssize_t got = recv(out, data, sizeof data, MSG_DONTWAIT);
            if (got < VNET_BYTES) break;
            put(in, data, (int)got);
        }
    }
    printf("{\"seen\": %ld, \"dropped\": %ld, \"doubled\": %ld, \"swapped\": %ld, \"delayed\": %ld}\n", seen, dropped, doubled, swapped, delayed);
    return 0;
}
