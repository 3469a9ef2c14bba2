/* Runs of DBN records, whole, mutated and cut off, through tc_dbn_next, each run in a heap block of exactly its size, so
 * that a sanitizer sees one byte read too far. Every byte of what is found is read; a walk must always get on.
 *
 *     fuzz CASES SEED      Exit 1 and the bytes in hex if a case fails.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed/normalize/dbn.h"

enum { RECORDS_MAX = 6, BYTES_MAX = RECORDS_MAX * TC_DBN_RECORD_MAX };

static uint64_t state;
static uint64_t found[TC_DBN_IS_WRONG_LENGTH + 1];
static volatile uint64_t sum;

/* xorshift64*: the same cases for the same seed, everywhere. */
static uint64_t draw(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull >> 16;
}

static size_t below(size_t n) { return n ? (size_t)(draw() % n) : 0; }

static void fail(const char* what, const uint8_t* bytes, size_t n) {
    printf("FAILED: %s\n", what);
    for (size_t i = 0; i < n; i++) printf("%02x", bytes[i]);
    printf("\n");
    exit(1);
}

/* Some records of an rtype and a length that mostly fit; the rest of their bytes are noise. */
static size_t build(uint8_t* bytes, int version, int ts_out) {
    static const uint8_t rtypes[] = {0, 1, 10, 18, 19, 20, 22, 24, 32, 33, 160, 195, 17, 21, 23, 177, 99, 255};
    size_t n = 0;
    for (size_t i = below(RECORDS_MAX); i < RECORDS_MAX; i++) {
        const uint8_t rtype = rtypes[below(sizeof rtypes)];
        uint32_t whole = tc_dbn_bytes(tc_schema_of_rtype(rtype), version);
        if (rtype == TC_DBN_MAPPING) whole = version == 1 ? 80 : 176;
        if (whole == 0 || !below(12)) whole = (uint32_t)below(64) * 4;
        if (ts_out && below(12)) whole += 8;
        for (uint32_t k = 0; k < whole; k++) bytes[n + k] = (uint8_t)draw();
        if (whole == 0) continue;
        bytes[n] = (uint8_t)(whole / 4);
        bytes[n + 1] = rtype;
        n += whole;
    }
    return n;
}

static void walk(const uint8_t* bytes, size_t n, int version, int ts_out) {
    uint8_t* scratch = malloc(TC_DBN_SCRATCH);
    size_t at = 0;
    tc_dbn_record out;
    tc_dbn_mapping mapping;
    if (!scratch) exit(2);
    for (;;) {
        const int kind = tc_dbn_next(bytes + at, n - at, version, ts_out, scratch, &out);
        if (kind == TC_DBN_IS_PARTIAL || kind == TC_DBN_IS_IMPOSSIBLE) break;
        if (kind < 0 || kind > TC_DBN_IS_WRONG_LENGTH) fail("what is this?", bytes, n);
        found[kind]++;
        if (out.input_bytes < TC_DBN_HEADER || out.input_bytes > n - at) fail("a step of the wrong size", bytes, n);
        if (kind == TC_DBN_IS_RECORD || kind == TC_DBN_IS_MAPPING) {
            for (uint32_t i = 0; i < out.record_bytes; i++) sum += out.record[i];
        }
        if (kind == TC_DBN_IS_RECORD && out.record[0] * 4u != tc_record_bytes(out.schema)) fail("length", bytes, n);
        if (kind == TC_DBN_IS_MAPPING) {
            tc_dbn_mapping_of(&out, version, &mapping);
            sum += strlen(mapping.symbol_in) + strlen(mapping.symbol_out);
        }
        at += out.input_bytes;
    }
    free(scratch);
}

int main(int argc, char** argv) {
    static uint8_t bytes[BYTES_MAX];
    if (argc != 3) return 2;
    const long cases = atol(argv[1]);
    state = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15ull + 1;
    for (long i = 0; i < cases; i++) {
        const int version = 1 + (int)below(3), ts_out = (int)below(2);
        size_t n = build(bytes, version, ts_out);
        for (size_t k = below(4); k > 0 && n; k--) bytes[below(n)] = (uint8_t)draw();
        if (below(2)) n = below(n + 1);
        uint8_t* exact = malloc(n ? n : 1);
        if (!exact) return 2;
        memcpy(exact, bytes, n);
        walk(exact + (n ? 0 : 1), n, version, ts_out);
        free(exact);
    }
    printf("%ld cases: %llu records, %llu mappings, %llu unsupported, %llu unknown, %llu of wrong length\n", cases,
           (unsigned long long)found[TC_DBN_IS_RECORD], (unsigned long long)found[TC_DBN_IS_MAPPING],
           (unsigned long long)found[TC_DBN_IS_UNSUPPORTED], (unsigned long long)found[TC_DBN_IS_UNKNOWN],
           (unsigned long long)found[TC_DBN_IS_WRONG_LENGTH]);
    return 0;
}
