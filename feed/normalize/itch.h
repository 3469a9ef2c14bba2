/* Nasdaq TotalView-ITCH 5.0 (specification of April 2023): the bytes of its 23 messages, and nothing else.
 *
 * One table per message is the only source of its layout: the C structs, the asserts of every offset and length and the
 * descriptors that `decode` reads all come from it. Numbers are big-endian and unsigned; text is left-justified, padded
 * with spaces. All members are byte arrays, so a struct may lie over a message at any address.
 *
 * A table takes (T, N, X): the struct; a number N(T, bytes, name, offset); text X(T, bytes, name, offset).
 */
#ifndef TICKCAST_NORMALIZE_ITCH_H
#define TICKCAST_NORMALIZE_ITCH_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Every message begins with these 11 bytes; the time is in ns since midnight, New York. */
#define TC_ITCH_HEAD_TABLE(T, N, X) X(T, 1, type, 0) N(T, 2, locate, 1) N(T, 2, tracking, 3) N(T, 6, time, 5)

#define TC_ITCH_S(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) X(T, 1, code, 11)
#define TC_ITCH_R(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) X(T, 8, stock, 11) X(T, 1, category, 19) X(T, 1, financial, 20)    \
    N(T, 4, round_lot, 21) X(T, 1, round_lots_only, 25) X(T, 1, issue_class, 26) X(T, 2, subtype, 27)                     \
    X(T, 1, authenticity, 29) X(T, 1, short_sale, 30) X(T, 1, ipo, 31) X(T, 1, luld_tier, 32) X(T, 1, etp, 33)            \
    N(T, 4, leverage, 34) X(T, 1, inverse, 38)
#define TC_ITCH_H(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) X(T, 8, stock, 11) X(T, 1, state, 19) X(T, 1, reserved, 20)        \
    X(T, 4, reason, 21)
#define TC_ITCH_Y(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) X(T, 8, stock, 11) X(T, 1, action, 19)
#define TC_ITCH_L(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) X(T, 4, mpid, 11) X(T, 8, stock, 15) X(T, 1, primary, 23)          \
    X(T, 1, mode, 24) X(T, 1, state, 25)
#define TC_ITCH_V(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) N(T, 8, level1, 11) N(T, 8, level2, 19) N(T, 8, level3, 27)
#define TC_ITCH_W(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) X(T, 1, level, 11)
#define TC_ITCH_K(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) X(T, 8, stock, 11) N(T, 4, release, 19) X(T, 1, qualifier, 23)     \
    N(T, 4, price, 24)
#define TC_ITCH_J(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) X(T, 8, stock, 11) N(T, 4, reference, 19) N(T, 4, upper, 23)       \
    N(T, 4, lower, 27) N(T, 4, extension, 31)
#define TC_ITCH_h(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) X(T, 8, stock, 11) X(T, 1, market, 19) X(T, 1, action, 20)
#define TC_ITCH_A(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) N(T, 8, reference, 11) X(T, 1, side, 19) N(T, 4, shares, 20)       \
    X(T, 8, stock, 24) N(T, 4, price, 32)
#define TC_ITCH_F(T, N, X) TC_ITCH_A(T, N, X) X(T, 4, mpid, 36)
#define TC_ITCH_E(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) N(T, 8, reference, 11) N(T, 4, shares, 19) N(T, 8, match, 23)
#define TC_ITCH_C(T, N, X) TC_ITCH_E(T, N, X) X(T, 1, printable, 31) N(T, 4, price, 32)
#define TC_ITCH_X(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) N(T, 8, reference, 11) N(T, 4, shares, 19)
#define TC_ITCH_D(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) N(T, 8, reference, 11)
#define TC_ITCH_U(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) N(T, 8, reference, 11) N(T, 8, new_reference, 19)                  \
    N(T, 4, shares, 27) N(T, 4, price, 31)
#define TC_ITCH_P(T, N, X) TC_ITCH_A(T, N, X) N(T, 8, match, 36)
#define TC_ITCH_Q(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) N(T, 8, shares, 11) X(T, 8, stock, 19) N(T, 4, price, 27)          \
    N(T, 8, match, 31) X(T, 1, cross, 39)
#define TC_ITCH_B(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) N(T, 8, match, 11)
#define TC_ITCH_I(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) N(T, 8, paired, 11) N(T, 8, imbalance, 19) X(T, 1, direction, 27)  \
    X(T, 8, stock, 28) N(T, 4, far, 36) N(T, 4, near, 40) N(T, 4, reference, 44) X(T, 1, cross, 48) X(T, 1, variation, 49)
#define TC_ITCH_N(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) X(T, 8, stock, 11) X(T, 1, interest, 19)
#define TC_ITCH_O(T, N, X) TC_ITCH_HEAD_TABLE(T, N, X) X(T, 8, stock, 11) X(T, 1, eligible, 19) N(T, 4, lowest, 20)       \
    N(T, 4, highest, 24) N(T, 4, near, 28) N(T, 8, near_time, 32) N(T, 4, lower, 40) N(T, 4, upper, 44)

/* M(table, type, length, where a stock stands in it or 0) */
#define TC_ITCH_MESSAGES(M)                                                                                           \
    M(S, 'S', 12, 0) M(R, 'R', 39, 11) M(H, 'H', 25, 11) M(Y, 'Y', 20, 11) M(L, 'L', 26, 15) M(V, 'V', 35, 0)         \
    M(W, 'W', 12, 0) M(K, 'K', 28, 11) M(J, 'J', 35, 11) M(h, 'h', 21, 11) M(A, 'A', 36, 24) M(F, 'F', 40, 24)        \
    M(E, 'E', 31, 0) M(C, 'C', 36, 0) M(X, 'X', 23, 0) M(D, 'D', 19, 0) M(U, 'U', 35, 0) M(P, 'P', 44, 24)            \
    M(Q, 'Q', 40, 19) M(B, 'B', 19, 0) M(I, 'I', 50, 28) M(N, 'N', 20, 11) M(O, 'O', 48, 11)

#define TC_ITCH_MEMBER(T, bytes, name, offset) uint8_t name[bytes];
#define TC_ITCH_MEMBER_AT(T, bytes, name, offset) static_assert(offsetof(T, name) == (offset), #T "." #name);
#define TC_ITCH_STRUCT(t, type, length, stock)                                                                                  \
    typedef struct { TC_ITCH_##t(, TC_ITCH_MEMBER, TC_ITCH_MEMBER) } tc_itch_##t;                                         \
    TC_ITCH_##t(tc_itch_##t, TC_ITCH_MEMBER_AT, TC_ITCH_MEMBER_AT)                                                        \
    static_assert(sizeof(tc_itch_##t) == (length), #t);
TC_ITCH_MESSAGES(TC_ITCH_STRUCT)

typedef struct { TC_ITCH_HEAD_TABLE(, TC_ITCH_MEMBER, TC_ITCH_MEMBER) } tc_itch_head;
static_assert(sizeof(tc_itch_head) == 11, "head");

/* By the first byte. Length 0: it is no type of message. */
#define TC_ITCH_LENGTH(t, type, length, stock) [type] = length,
#define TC_ITCH_STOCK_AT(t, type, length, stock) [type] = stock,
static const uint8_t tc_itch_length[256] = {TC_ITCH_MESSAGES(TC_ITCH_LENGTH)};
static const uint8_t tc_itch_stock_at[256] = {TC_ITCH_MESSAGES(TC_ITCH_STOCK_AT)};

typedef struct { char type; char text; uint16_t offset; uint16_t bytes; const char *name; } tc_itch_field;

/* All fields of all messages, in order; before those of each one a row without a name: its type and length. */
static inline const tc_itch_field *tc_itch_fields(size_t *n)
{
#define TC_ITCH_NUMBER_ROW(T, bytes, name, offset) {0, 0, offset, bytes, #name},
#define TC_ITCH_TEXT_ROW(T, bytes, name, offset) {0, 1, offset, bytes, #name},
#define TC_ITCH_ROWS(t, type, length, stock) {type, 0, 0, length, ""}, TC_ITCH_##t(, TC_ITCH_NUMBER_ROW, TC_ITCH_TEXT_ROW)
    static const tc_itch_field fields[] = {TC_ITCH_MESSAGES(TC_ITCH_ROWS)};
    *n = sizeof fields / sizeof *fields;
    return fields;
}

static inline uint16_t tc_be16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
static inline uint32_t tc_be32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static inline uint64_t tc_be64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }
static inline uint64_t tc_be48(const uint8_t *p) { return (uint64_t)tc_be16(p) << 32 | tc_be32(p + 2); }
static inline uint64_t tc_raw64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }

#endif
