/* CRC-32 as in zlib and Ethernet (reflected polynomial 0xedb88320), eight bytes a step. The archive has another polynomial
 * (feed/store/crc32c.h), which processors compute themselves; some venues sum their books with this one. */
#ifndef TICKCAST_NORMALIZE_CRC32_H
#define TICKCAST_NORMALIZE_CRC32_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint32_t tc_crc32_table[8][256]; /* [k][b]: the CRC of byte b followed by k zero bytes */

/* Once, before the first tc_crc32. */
static inline void tc_crc32_init(void) {
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        tc_crc32_table[0][b] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t b = 0; b < 256; b++) {
            uint32_t before = tc_crc32_table[k - 1][b];
            tc_crc32_table[k][b] = before >> 8 ^ tc_crc32_table[0][before & 255];
        }
}

static inline uint32_t tc_crc32(const char *data, size_t n) {
    const uint8_t *at = (const uint8_t *)data;
    uint32_t crc = 0xffffffffu;
    for (; n >= 8; n -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8); /* little-endian, as everything here */
        word ^= crc;
        crc = tc_crc32_table[7][word & 255] ^ tc_crc32_table[6][word >> 8 & 255] ^ tc_crc32_table[5][word >> 16 & 255] ^
              tc_crc32_table[4][word >> 24 & 255] ^ tc_crc32_table[3][word >> 32 & 255] ^
              tc_crc32_table[2][word >> 40 & 255] ^ tc_crc32_table[1][word >> 48 & 255] ^ tc_crc32_table[0][word >> 56];
    }
    while (n--) crc = crc >> 8 ^ tc_crc32_table[0][(crc ^ *at++) & 255];
    return ~crc;
}

#endif
