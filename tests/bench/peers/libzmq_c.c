/* Peer: one-way PUB/SUB over libzmq in C, as fast as plain libzmq goes. `feed bench ... --vs libzmq-c` runs it.
 *
 *   cc -O2 libzmq_c.c -o libzmq_c -ldl
 *   libzmq_c LIBZMQ pub URL TICKS      GAP_NS HWM MESSAGE STAMP_AT VALUES_AT
 *   libzmq_c LIBZMQ sub URL TICKS WARM SPIN   HWM TOPIC   STAMP_AT VALUES_AT LATE
 *
 * LIBZMQ: the shared library to measure, normally the one inside pyzmq, which comes without zmq.h: the few functions are
 * declared here. MESSAGE: a file with the bytes of one message; each send stamps it with the time (u64 ns, CLOCK_REALTIME)
 * at STAMP_AT and two values (u64) at VALUES_AT. TICKS are sent, the first WARM of them are left out of every figure.
 * GAP_NS > 0, paced: stamped just before the call, or, more than one gap behind, with the intended time; `sub` writes every
 * latency (u64 ns, in order) to the file LATE ("-": flat out, none). GAP_NS 0, flat out: nothing dropped (XPUB_NODROP),
 * and the sums of the values must agree.
 * `pub` prints {"endpoint": ...} once bound, and its figures after the last send; it stays until its standard input ends.
 * epgm://: PGM in the environment is "RATE RECOVERY_MS TPDU HOPS BUFFER", set at both ends; as nobody can be heard to
 * subscribe, `sub` prints {"joined": true} and `pub` begins with a line of its standard input.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SUB = 2, XPUB = 9, SUBSCRIBE = 6, LINGER = 17, RATE = 8, RECOVERY_IVL = 9, SNDBUF = 11, RCVBUF = 12, MULTICAST_HOPS = 25, MULTICAST_MAXTPDU = 84, SNDHWM = 23, RCVHWM = 24, RCVTIMEO = 27, LAST_ENDPOINT = 32, XPUB_NODROP = 69 };
enum { DONTWAIT = 1, MESSAGE_MAX = 4096, QUIET_MS = 4000 };
typedef struct { void *opaque[8]; } message_t;

static struct {
    void *(*ctx_new)(void);
    void *(*socket)(void *, int);
    int (*setsockopt)(void *, int, const void *, size_t);
    int (*getsockopt)(void *, int, void *, size_t *);
    int (*bind)(void *, const char *);
    int (*connect)(void *, const char *);
    int (*send)(void *, const void *, size_t, int);
    int (*recv)(void *, void *, size_t, int);
    int (*msg_init)(message_t *);
    int (*msg_recv)(message_t *, void *, int);
    void *(*msg_data)(message_t *);
    size_t (*msg_size)(const message_t *);
    int (*close)(void *);
    int (*ctx_term)(void *);
    int (*errno_)(void);
    const char *(*strerror)(int);
} zmq;

static void load(const char *path) {
    static const char *const names[] = {
        "ctx_new", "socket", "setsockopt", "getsockopt", "bind", "connect", "send", "recv",
        "msg_init", "msg_recv", "msg_data", "msg_size", "close", "ctx_term", "errno", "strerror",
    };
    void *library = dlopen(path, RTLD_NOW);
    if (!library) { fprintf(stderr, "%s\n", dlerror()); exit(1); }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[32];
        snprintf(name, sizeof name, "zmq_%s", names[i]);
        void *function = dlsym(library, name);
        if (!function) { fprintf(stderr, "%s has no %s\n", path, name); exit(1); }
        ((void **)&zmq)[i] = function;
    }
}

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
    fprintf(stderr, "%s: %s\n", what, zmq.strerror(zmq.errno_()));
    exit(1);
}

static void option(void *socket, int name, int value) { check(zmq.setsockopt(socket, name, &value, sizeof value), "setsockopt"); }

static void *open_socket(int type, int hwm) {
    void *context = zmq.ctx_new(), *socket = zmq.socket(context, type);
    option(socket, SNDHWM, hwm);
    option(socket, RCVHWM, hwm);
    int rate, recovery_ms, tpdu, hops, buffer;
    const char *pgm = getenv("PGM");
    if (pgm && sscanf(pgm, "%d %d %d %d %d", &rate, &recovery_ms, &tpdu, &hops, &buffer) == 5) {
        option(socket, RATE, rate);
        option(socket, RECOVERY_IVL, recovery_ms);
        option(socket, MULTICAST_MAXTPDU, tpdu);
        option(socket, MULTICAST_HOPS, hops);
        option(socket, SNDBUF, buffer);
        option(socket, RCVBUF, buffer);
    }
    return socket;
}

static int publish(char **argument) {
    const char *url = argument[0];
    uint64_t ticks = strtoull(argument[1], 0, 10), gap = strtoull(argument[2], 0, 10);
    size_t stamp_at = strtoull(argument[5], 0, 10), values_at = strtoull(argument[6], 0, 10);
    char message[MESSAGE_MAX], subscription[256], endpoint[256];
    size_t length = sizeof endpoint;
    FILE *file = fopen(argument[4], "rb");
    if (!file) { perror(argument[4]); return 1; }
    size_t bytes = fread(message, 1, sizeof message, file);
    fclose(file);
    if (stamp_at + 8 > bytes || values_at + 16 > bytes) { fprintf(stderr, "the message is too short\n"); return 2; }

    void *socket = open_socket(XPUB, atoi(argument[3]));
    if (!gap) option(socket, XPUB_NODROP, 1);
    option(socket, LINGER, 0);
    check(zmq.bind(socket, url), url);
    check(zmq.getsockopt(socket, LAST_ENDPOINT, endpoint, &length), "getsockopt");
    printf("{\"endpoint\": \"%s\"}\n", endpoint);
    fflush(stdout);
    if (!strstr(url, "pgm://")) check(zmq.recv(socket, subscription, sizeof subscription, 0), "recv");
    else if (read(0, subscription, sizeof subscription) <= 0) return 1;

    uint64_t at = now() + 100000000, sum = 0;
    for (uint64_t i = 0; i < ticks; i++) {
        uint64_t stamp = 0, value = (i * 0x9E3779B97F4A7C15u) >> 24, values[2] = {value, value + 1 + (i & 255)};
        if (gap) {
            at += gap;
            sleep_until(at);
            stamp = now();
            if (stamp > at + gap) stamp = at;
        }
        memcpy(message + stamp_at, &stamp, 8);
        memcpy(message + values_at, values, 16);
        sum += values[0] + values[1];
        check(zmq.send(socket, message, bytes, 0), "send");
    }
    printf("{\"sent\": %lu, \"checksum\": %lu}\n", (unsigned long)ticks, (unsigned long)sum);
    fflush(stdout);
    while (read(0, subscription, sizeof subscription) > 0) {}
    zmq.close(socket);
    return 0;
}

static int subscribe(char **argument) {
    uint64_t ticks = strtoull(argument[1], 0, 10), warm = strtoull(argument[2], 0, 10);
    int spin = atoi(argument[3]), timed = strcmp(argument[8], "-") != 0;
    size_t stamp_at = strtoull(argument[6], 0, 10), values_at = strtoull(argument[7], 0, 10);
    void *socket = open_socket(SUB, atoi(argument[4]));
    option(socket, RCVTIMEO, QUIET_MS);
    check(zmq.setsockopt(socket, SUBSCRIBE, argument[5], strlen(argument[5])), "subscribe");
    check(zmq.connect(socket, argument[0]), argument[0]);
    if (strstr(argument[0], "pgm://")) {
        printf("{\"joined\": true}\n");
        fflush(stdout);
    }

    uint64_t *late = timed ? malloc(ticks * sizeof *late) : NULL, got = 0, first = 0, last = 0, sum = 0;
    if (timed) memset(late, 1, ticks * sizeof *late); /* no page fault while it counts */
    message_t message;
    zmq.msg_init(&message);
    while (got < ticks) {
        int received;
        if (spin && got) {
            uint64_t until = now() + QUIET_MS * 1000000ull;
            do received = zmq.msg_recv(&message, socket, DONTWAIT);
            while (received < 0 && zmq.errno_() == EAGAIN && now() < until);
        } else {
            received = zmq.msg_recv(&message, socket, 0);
        }
        if (received < 0) break;
        const char *data = zmq.msg_data(&message);
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
    if (!timed) last = now();
    if (timed) {
        FILE *file = fopen(argument[8], "wb");
        size_t kept = got > warm ? got - warm : 0;
        if (!file || fwrite(late + warm, sizeof *late, kept, file) != kept || fclose(file)) { perror(argument[8]); return 1; }
    }
    printf("{\"got\": %lu, \"first_ns\": %lu, \"last_ns\": %lu, \"checksum\": %lu}\n", (unsigned long)got, (unsigned long)first, (unsigned long)last, (unsigned long)sum);
    return 0;
}

int main(int count, char **argument) {
    int pub = count == 10 && !strcmp(argument[2], "pub"), sub = count == 12 && !strcmp(argument[2], "sub");
    if (!pub && !sub) { fprintf(stderr, "usage: see the head of the source\n"); return 2; }
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, 9);
    load(argument[1]);
    return pub ? publish(argument + 3) : subscribe(argument + 3);
}
