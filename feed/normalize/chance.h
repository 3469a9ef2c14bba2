/* Chance in integers: the same numbers on every processor, whatever its mathematics library. */
#ifndef TICKCAST_NORMALIZE_CHANCE_H
#define TICKCAST_NORMALIZE_CHANCE_H

#include <stdint.h>

__extension__ typedef unsigned __int128 tc_uint128;

/* Steele, Lea and Flood 2014: spreads a seed over the state of another generator. */
static inline uint64_t tc_splitmix64(uint64_t* state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* xoshiro256**, Blackman and Vigna 2018: 64 random bits. */
static inline uint64_t tc_xoshiro(uint64_t s[4]) {
    const uint64_t product = s[1] * 5, result = ((product << 7) | (product >> 57)) * 9, shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

/* `mean` times `factor` in units of 2**-32. */
static inline uint64_t tc_scaled(uint64_t mean, uint64_t factor) {
    return (uint64_t)(((tc_uint128)mean * factor) >> 32);
}

/* Exponentially distributed with mean 2**32: algorithm SA of Ahrens and Dieter 1972, which needs no logarithm. */
static inline uint64_t tc_exponential(uint64_t s[4]) {
    static const uint64_t ln2 = 2977044471ull; /* ln 2 */
    static const uint32_t sums[] = {           /* of (ln 2)**k / k!, k from 1 to 2, 3, ... 11 */
        4008809462u, 4247197794u, 4288507344u, 4294234063u, 4294895640u,
        4294961150u, 4294966826u, 4294967263u, 4294967293u, 4294967295u,
    };
    const uint64_t bits = tc_xoshiro(s) | 1;
    const int zeros = __builtin_clzll(bits);
    const uint32_t u = (uint32_t)(bits << zeros << 1 >> 32);
    uint32_t least, other;
    int k;
    if (u <= ln2) return (uint64_t)zeros * ln2 + u;
    least = (uint32_t)(tc_xoshiro(s) >> 32);
    for (k = 0;; k++) {
        other = (uint32_t)(tc_xoshiro(s) >> 32);
        if (other < least) least = other;
        if (u <= sums[k]) return (uint64_t)zeros * ln2 + ((least * ln2) >> 32);
    }
}

#endif
