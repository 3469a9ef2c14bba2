/* Mutated and arbitrary bytes through tc_wire_parse, each in a heap block of exactly its size, so that a sanitizer sees one
 * byte read too far. What parses is walked to its last byte and written again: it must come out as it went in.
 *
 *     fuzz CASES SEED FRAME...      FRAME: golden frames to mutate. Exit 1 and the bytes in hex if a case fails.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "feed/wire/frame.h"

enum { BYTES_MAX = 4096, SEEDS_MAX = 64 };
enum { REASONS = -TC_WIRE_BAD_RUN + 1 };

typedef struct {
    uint8_t* bytes;
    size_t n;
} seed_frame;

static seed_frame seeds[SEEDS_MAX];
static size_t seed_count;
static uint64_t state;
static volatile uint64_t sink;

/* xorshift64*: the same cases for the same seed, everywhere. */
static uint64_t draw(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull >> 16;
}

static size_t below(size_t n) { return n ? (size_t)(draw() % n) : 0; }

static void fail(const char* what, const uint8_t* bytes, size_t n) {
    size_t i;
    printf("FAILED: %s\n", what);
    for (i = 0; i < n; i++) printf("%02x", bytes[i]);
    printf("\n");
    exit(1);
}

static void put(uint8_t* bytes, size_t n, size_t at, const void* value, size_t width) {
    if (at + width <= n) memcpy(bytes + at, value, width);
}

/* A frame whose length fits its header, with whatever topic, count, size and trailer. */
static size_t build(uint8_t* bytes) {
    static const char* const topics[] = {"quote.AAPL|", "trade.A|", "depth5.X|", "status.ES U4|", "heartbeat|", "*|", "imbalance.B|"};
    const char* topic = topics[below(sizeof topics / sizeof *topics)];
    uint32_t topic_length = (uint32_t)strlen(topic), i, seq_delta = 0;
    uint16_t known = tc_schema_of_word((const uint8_t*)topic, (size_t)(strcspn(topic, ".|")));
    tc_wire_header header;
    uint8_t* at;
    memset(&header, 0, sizeof header);
    header.flags = (uint16_t)draw();
    header.count = (uint16_t)below(9);
    header.record_bytes = known && below(8) ? (uint16_t)tc_record_bytes(known) : (uint16_t)below(120);
    if (header.count == 0 && below(8)) header.record_bytes = 0;
    if (*topic == '*') header.record_bytes = 0;
    header.epoch = draw();
    header.seq = draw();
    if (tc_wire_size(topic_length, header.record_bytes, header.count) > BYTES_MAX / 2) header.count = 1;
    at = tc_wire_put_head(bytes, (const uint8_t*)topic, topic_length, &header);
    if (*topic == '*') {
        for (i = 0; i < header.count; i++) {
            tc_wire_log_header log;
            memset(&log, 0, sizeof log);
            log.kind = (uint16_t)below(4);
            log.length = log.kind == TC_WIRE_LOG_TOPIC_KIND ? 120 : TC_WIRE_LOG_HEADER + (uint32_t)below(4) * 8 + !below(16);
            if (!below(16)) log.length = (uint32_t)below(5) * 8; /* shorter than its own header */
            memset(at, (int)below(70), log.length);
            memcpy(at, &log, sizeof log);
            if (log.kind == TC_WIRE_LOG_TOPIC_KIND) at[43] = 0;
            at += log.length;
        }
        return (size_t)(at - bytes);
    }
    for (i = 0; i < (uint32_t)header.count * header.record_bytes; i++) *at++ = (uint8_t)i;
    for (i = 0; header.count > 1 && i < header.count; i++) {
        at = tc_wire_put_step(at, seq_delta, (uint32_t)draw());
        seq_delta += (uint32_t)below(32) ? 1 + (uint32_t)below(9) : (uint32_t)draw();
    }
    return (size_t)(at - bytes);
}

static size_t mutate(uint8_t* bytes, size_t n) {
    static const uint64_t edges[] = {0, 1, 2, 7, 8, 39, 40, 48, 56, 79, 80, 127, 128, 255, 256, 32767, 32768, 65535, 65536,
                                     0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff};
    size_t at = below(n), more;
    const uint8_t* bar = memchr(bytes, '|', n);
    uint64_t edge = edges[below(sizeof edges / sizeof *edges)];
    const seed_frame* other;
    switch (below(10)) {
        case 0: if (n) bytes[at] ^= (uint8_t)(1u << below(8)); break;
        case 1: if (n) bytes[at] = (uint8_t)draw(); break;
        case 2: put(bytes, n, at, &edge, (size_t)1 << below(4)); break;
        case 3: return below(n + 1);
        case 4: return n ? n - 1 : 0;
        case 5:
            more = 1 + below(16);
            memset(bytes + n, (int)draw(), more);
            return n + more;
        case 6: /* a field of the header */
            if (bar) put(bytes, n, (size_t)(bar - bytes) + 1 + below(TC_WIRE_HEADER), &edge, (size_t)1 << below(4));
            break;
        case 7: /* count and size, the pair that the length hangs on */
            if (bar) put(bytes, n, (size_t)(bar - bytes) + 5 + 2 * below(2), &edge, 2);
            break;
        case 8: /* the head of one, the tail of another */
            other = &seeds[below(seed_count)];
            more = below(other->n);
            if (at + other->n - more > BYTES_MAX - 64) break;
            memcpy(bytes + at, other->bytes + more, other->n - more);
            return at + other->n - more;
        default: /* the end: trailer or run */
            if (n >= 8) put(bytes, n, n - 8 + 4 * below(2), &edge, 4);
            break;
    }
    return n;
}

/* Everything that a frame lets a reader touch, then the frame written anew. */
static void check(const uint8_t* bytes, size_t n, const tc_wire_frame* frame) {
    static uint8_t again[2 * BYTES_MAX];
    uint8_t* at;
    uint64_t sum = 0;
    uint32_t i;
    size_t k, trailer = frame->trailer ? (size_t)frame->header.count * TC_WIRE_STEP : 0;
    if (frame->topic_length + TC_WIRE_HEADER + frame->records_length + trailer != n) fail("parts are not the whole", bytes, n);
    if (frame->schema && frame->header.count && tc_record_bytes(frame->schema) != frame->header.record_bytes)
        fail("a schema's record has another size", bytes, n);
    if (frame->kind == TC_WIRE_TICKS && tc_wire_size(frame->topic_length, frame->header.record_bytes, frame->header.count) != n)
        fail("size", bytes, n);
    for (k = 0; k < frame->records_length; k++) sum += frame->records[k];
    for (k = 0; k < frame->topic_length; k++) sum += frame->topic[k];
    if (frame->kind == TC_WIRE_FIREHOSE) {
        const uint8_t* log = frame->records;
        for (i = 0; i < frame->header.count; i++) {
            uint32_t length = tc_wire_log_at(log).length;
            if (length < TC_WIRE_LOG_HEADER) fail("log frame shorter than its header", bytes, n);
            log += length;
        }
        if (log != bytes + n) fail("run of log frames", bytes, n);
    }
    at = tc_wire_put_head(again, frame->topic, frame->topic_length, &frame->header);
    memcpy(at, frame->records, frame->records_length);
    at += frame->records_length;
    for (i = 0; frame->trailer && i < frame->header.count; i++) {
        tc_wire_trailer step = tc_wire_step(frame->trailer, i);
        at = tc_wire_put_step(at, step.seq_delta, step.ts_in_delta);
        sum += step.seq_delta;
    }
    if ((size_t)(at - again) != n || memcmp(again, bytes, n) != 0) fail("written again it differs", bytes, n);
    sink += sum;
}

static int load(const char* path) {
    FILE* file = fopen(path, "rb");
    seed_frame* seed = &seeds[seed_count];
    if (!file || seed_count == SEEDS_MAX) return 0;
    seed->bytes = malloc(BYTES_MAX);
    seed->n = fread(seed->bytes, 1, BYTES_MAX / 2, file);
    fclose(file);
    return ++seed_count, seed->n > 0;
}

int main(int argc, char** argv) {
    static uint8_t work[2 * BYTES_MAX];
    uint64_t reasons[REASONS] = {0}, cases, i;
    struct timespec begin, end;
    int k;
    if (argc < 4) {
        fprintf(stderr, "usage: fuzz CASES SEED FRAME...\n");
        return 2;
    }
    cases = strtoull(argv[1], NULL, 10);
    state = strtoull(argv[2], NULL, 10) * 2 + 1;
    for (k = 3; k < argc; k++)
        if (!load(argv[k])) {
            fprintf(stderr, "cannot read %s\n", argv[k]);
            return 2;
        }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (i = 0; i < cases; i++) {
        tc_wire_frame frame;
        uint8_t* exact;
        size_t n, m;
        int reason;
        switch (below(8)) {
            case 0: /* arbitrary bytes, now and then behind a good topic */
                n = below(160);
                for (m = 0; m < n; m++) work[m] = (uint8_t)draw();
                if (n >= 11 && below(2)) memcpy(work, "quote.AAPL|", 11);
                break;
            case 1:
            case 2:
            case 3:
                n = build(work);
                break;
            default: {
                const seed_frame* seed = &seeds[below(seed_count)];
                n = seed->n;
                memcpy(work, seed->bytes, n);
            }
        }
        for (m = below(4); m > 0; m--) n = mutate(work, n);
        exact = malloc(n);
        if (n) memcpy(exact, work, n);
        reason = tc_wire_parse(exact, n, &frame);
        if (reason > 0 || reason <= -REASONS || strcmp(tc_wire_reason(reason), "no such reason") == 0) fail("reason", exact, n);
        reasons[-reason]++;
        if (reason == TC_WIRE_OK) check(exact, n, &frame);
        free(exact);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%llu cases in %.1f s\n", (unsigned long long)cases,
           (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    for (k = 0; k < REASONS; k++) {
        printf("%10llu  %s\n", (unsigned long long)reasons[k], tc_wire_reason(-k));
        if (reasons[k] == 0 && cases >= 100000) fail("no case came here: the mutations are too weak", work, 0);
    }
    while (seed_count > 0) free(seeds[--seed_count].bytes);
    return 0;
}
