/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78, as in iSCSI and ext4) at the speed of memory.
 *
 * x86-64 (SSE4.2) and aarch64 (CRC extension) have an instruction for 8 bytes with a latency of 3 cycles and a throughput of
 * one a cycle, so three streams run side by side and are joined by tables: the CRC of a stream followed by n zero bytes is a
 * linear map of its 32 bits. Without the instruction: one table look-up a byte, eight at a time.
 */
#ifndef TICKCAST_STORE_CRC32C_H
#define TICKCAST_STORE_CRC32C_H

#include <stdint.h>
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

enum { TC_CRC_STREAM = 1024 }; /* bytes of each of the three */

static uint32_t tc_crc_bytes[8][256]; /* [k][b]: the CRC of byte b followed by k zero bytes */
static uint32_t tc_crc_shift[4][256]; /* the map for TC_CRC_STREAM zero bytes, a byte of the CRC at a time */
static int tc_crc_instruction;

static inline uint32_t tc_crc_by_table(uint32_t crc, const uint8_t *data, size_t n) {
    for (; n >= 8; n -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        word ^= crc;
        crc = tc_crc_bytes[7][word & 255] ^ tc_crc_bytes[6][word >> 8 & 255] ^ tc_crc_bytes[5][word >> 16 & 255] ^
              tc_crc_bytes[4][word >> 24 & 255] ^ tc_crc_bytes[3][word >> 32 & 255] ^ tc_crc_bytes[2][word >> 40 & 255] ^
              tc_crc_bytes[1][word >> 48 & 255] ^ tc_crc_bytes[0][word >> 56];
    }
    while (n--) crc = tc_crc_bytes[0][(crc ^ *data++) & 255] ^ crc >> 8;
    return crc;
}

#if defined(__x86_64__)
static inline uint64_t tc_crc_step(uint64_t crc, uint64_t word) {
    __asm__("crc32q %1, %0" : "+r"(crc) : "rm"(word));
    return crc;
}
static inline int tc_crc_has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__)
static inline uint64_t tc_crc_step(uint64_t crc, uint64_t word) {
    uint32_t next;
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w1, %x2" : "=r"(next) : "r"((uint32_t)crc), "r"(word));
    return next;
}
static inline int tc_crc_has_instruction(void) { return (getauxval(AT_HWCAP) >> 7 & 1) != 0; } /* HWCAP_CRC32 */
#else
static inline uint64_t tc_crc_step(uint64_t crc, uint64_t word) { return tc_crc_by_table((uint32_t)crc, (uint8_t *)&word, 8); }
static inline int tc_crc_has_instruction(void) { return 0; }
#endif

static inline uint32_t tc_crc_shifted(uint32_t crc) {
    return tc_crc_shift[0][crc & 255] ^ tc_crc_shift[1][crc >> 8 & 255] ^ tc_crc_shift[2][crc >> 16 & 255] ^ tc_crc_shift[3][crc >> 24];
}

static inline uint32_t tc_crc_by_instruction(uint32_t start, const uint8_t *data, size_t n) {
    uint64_t a = start, b, c, x, y, z;
    for (; n >= 3 * TC_CRC_STREAM; n -= 3 * TC_CRC_STREAM, data += 3 * TC_CRC_STREAM) {
        b = c = 0;
        for (size_t i = 0; i < TC_CRC_STREAM; i += 8) {
            memcpy(&x, data + i, 8);
            memcpy(&y, data + TC_CRC_STREAM + i, 8);
            memcpy(&z, data + 2 * TC_CRC_STREAM + i, 8);
            a = tc_crc_step(a, x);
            b = tc_crc_step(b, y);
            c = tc_crc_step(c, z);
        }
        a = tc_crc_shifted(tc_crc_shifted((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
    }
    for (; n >= 8; n -= 8, data += 8) {
        memcpy(&x, data, 8);
        a = tc_crc_step(a, x);
    }
    return tc_crc_by_table((uint32_t)a, data, n);
}

/* Once, before the first tc_crc32c. */
static inline void tc_crc32c_init(void) {
    static const uint8_t zeros[TC_CRC_STREAM];
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
        tc_crc_bytes[0][b] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int b = 0; b < 256; b++) tc_crc_bytes[k][b] = tc_crc_bytes[0][tc_crc_bytes[k - 1][b] & 255] ^ tc_crc_bytes[k - 1][b] >> 8;
    for (int k = 0; k < 4; k++)
        for (uint32_t b = 0; b < 256; b++) tc_crc_shift[k][b] = tc_crc_by_table(b << 8 * k, zeros, TC_CRC_STREAM);
    tc_crc_instruction = tc_crc_has_instruction();
}

/* Of `n` bytes; `crc` is that of what went before, 0 at first. */
static inline uint32_t tc_crc32c(uint32_t crc, const uint8_t *data, size_t n) {
    return ~(tc_crc_instruction ? tc_crc_by_instruction(~crc, data, n) : tc_crc_by_table(~crc, data, n));
}

#endif
