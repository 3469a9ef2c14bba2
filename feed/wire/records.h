/* Normalised records: the bytes of DBN v3 (Databento Binary Encoding), and nothing else.
 *
 * One table per record is the only source of its layout: the C structs, the static asserts of every offset and size, and
 * the descriptors from which records.pyx builds numpy dtypes all come from it. Little-endian, naturally aligned, no padding
 * that is not a field. Prices are int64 in units of 1e-9, times uint64 ns since 1970 UTC unless the unit says otherwise.
 *
 * A table takes (T, F, S, R): the struct, and what to do with a scalar field F(T, type, name, offset, unit), a NUL-padded
 * string S(T, bytes, name, offset, unit) and reserved bytes R(T, bytes, name, offset).
 */
#ifndef TICKCAST_WIRE_RECORDS_H
#define TICKCAST_WIRE_RECORDS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records and frames are little-endian in memory: this machine is not"
#endif

#define TC_UNDEF_PRICE INT64_MAX
#define TC_UNDEF_TIMESTAMP UINT64_MAX
#define TC_UNDEF_ORDER_SIZE UINT32_MAX
#define TC_PRICE_UNITS 1000000000ll /* raw price of 1.0 */
#define TC_BOOK_LEVELS 10

/*   0                   1                   2                   3
 *   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *  +---------------+---------------+-------------------------------+   0
 *  | length, words |     rtype     |         publisher_id          |
 *  +---------------+---------------+-------------------------------+   4
 *  |                         instrument_id                         |
 *  +---------------------------------------------------------------+   8
 *  |                          ts_event (64)                        |
 *  +---------------------------------------------------------------+  16
 *  |                            body ...                           |
 */
#define TC_HEADER_FIELDS(T, F, S, R)                                \
    F(T, U8, length, 0, "32-bit words, whole record")               \
    F(T, U8, rtype, 1, "DBN record type")                           \
    F(T, U16, publisher_id, 2, "as the source gave it")             \
    F(T, U32, instrument_id, 4, "as the source gave it")            \
    F(T, U64, ts_event, 8, "ns since 1970, venue's clock")

#define TC_TRADE_FIELDS(T, F, S, R)                                 \
    TC_HEADER_FIELDS(T, F, S, R)                                    \
    F(T, I64, price, 16, "1e-9")                                    \
    F(T, U32, size, 24, "shares or contracts")                      \
    F(T, CHAR, action, 28, "A C M R T F N")                         \
    F(T, CHAR, side, 29, "B A N; in trades the aggressor")          \
    F(T, U8, flags, 30, "DBN bit set")                              \
    F(T, U8, depth, 31, "level, 0 is the best")                     \
    F(T, U64, ts_recv, 32, "ns since 1970, capture's clock")        \
    F(T, I32, ts_in_delta, 40, "ns, ts_recv - venue's send time")   \
    F(T, U32, sequence, 44, "venue's message number")

#define TC_LEVEL_FIELDS(T, F, S, R, at)                             \
    F(T, I64, bid_px, at, "1e-9")                                   \
    F(T, I64, ask_px, at + 8, "1e-9")                               \
    F(T, U32, bid_sz, at + 16, "shares or contracts")               \
    F(T, U32, ask_sz, at + 20, "shares or contracts")               \
    F(T, U32, bid_ct, at + 24, "orders")                            \
    F(T, U32, ask_ct, at + 28, "orders")

#define TC_LEVEL_TABLE(T, F, S, R) TC_LEVEL_FIELDS(T, F, S, R, 0)

#define TC_QUOTE_FIELDS(T, F, S, R)                                 \
    TC_TRADE_FIELDS(T, F, S, R)                                     \
    TC_LEVEL_FIELDS(T, F, S, R, 48)

#define TC_BBO_FIELDS(T, F, S, R)                                   \
    TC_HEADER_FIELDS(T, F, S, R)                                    \
    F(T, I64, price, 16, "1e-9, last trade")                        \
    F(T, U32, size, 24, "shares or contracts, last trade")          \
    R(T, 1, reserved1, 28)                                          \
    F(T, CHAR, side, 29, "B A N; last trade's aggressor")           \
    F(T, U8, flags, 30, "DBN bit set")                              \
    R(T, 1, reserved2, 31)                                          \
    F(T, U64, ts_recv, 32, "ns since 1970, end of the interval")    \
    R(T, 4, reserved3, 40)                                          \
    F(T, U32, sequence, 44, "venue's message number")               \
    TC_LEVEL_FIELDS(T, F, S, R, 48)

/* followed by levels[TC_BOOK_LEVELS] of tc_level */
#define TC_BOOK_FIELDS(T, F, S, R) TC_TRADE_FIELDS(T, F, S, R)

#define TC_ORDER_FIELDS(T, F, S, R)                                 \
    TC_HEADER_FIELDS(T, F, S, R)                                    \
    F(T, U64, order_id, 16, "venue's")                              \
    F(T, I64, price, 24, "1e-9")                                    \
    F(T, U32, size, 32, "shares or contracts")                      \
    F(T, U8, flags, 36, "DBN bit set")                              \
    F(T, U8, channel_id, 37, "venue's")                             \
    F(T, CHAR, action, 38, "A C M R T F N")                         \
    F(T, CHAR, side, 39, "B A N")                                   \
    F(T, U64, ts_recv, 40, "ns since 1970, capture's clock")        \
    F(T, I32, ts_in_delta, 48, "ns, ts_recv - venue's send time")   \
    F(T, U32, sequence, 52, "venue's message number")

#define TC_BAR_FIELDS(T, F, S, R)                                   \
    TC_HEADER_FIELDS(T, F, S, R)                                    \
    F(T, I64, open, 16, "1e-9")                                     \
    F(T, I64, high, 24, "1e-9")                                     \
    F(T, I64, low, 32, "1e-9")                                      \
    F(T, I64, close, 40, "1e-9")                                    \
    F(T, U64, volume, 48, "shares or contracts")

#define TC_STATUS_FIELDS(T, F, S, R)                                \
    TC_HEADER_FIELDS(T, F, S, R)                                    \
    F(T, U64, ts_recv, 16, "ns since 1970, capture's clock")        \
    F(T, U16, action, 24, "DBN status action")                      \
    F(T, U16, reason, 26, "DBN status reason")                      \
    F(T, U16, trading_event, 28, "DBN trading event")               \
    F(T, CHAR, is_trading, 30, "Y N ~")                             \
    F(T, CHAR, is_quoting, 31, "Y N ~")                             \
    F(T, CHAR, is_short_sell_restricted, 32, "Y N ~")               \
    R(T, 7, reserved, 33)

#define TC_STAT_FIELDS(T, F, S, R)                                  \
    TC_HEADER_FIELDS(T, F, S, R)                                    \
    F(T, U64, ts_recv, 16, "ns since 1970, capture's clock")        \
    F(T, U64, ts_ref, 24, "ns since 1970, of the statistic")        \
    F(T, I64, price, 32, "1e-9")                                    \
    F(T, I64, quantity, 40, "by stat_type; undefined INT64_MAX")    \
    F(T, U32, sequence, 48, "venue's message number")               \
    F(T, I32, ts_in_delta, 52, "ns, ts_recv - venue's send time")   \
    F(T, U16, stat_type, 56, "DBN stat type")                       \
    F(T, U16, channel_id, 58, "venue's")                            \
    F(T, U8, update_action, 60, "1 new, 2 delete")                  \
    F(T, U8, stat_flags, 61, "by stat_type")                        \
    R(T, 18, reserved, 62)

#define TC_IMBALANCE_FIELDS(T, F, S, R)                             \
    TC_HEADER_FIELDS(T, F, S, R)                                    \
    F(T, U64, ts_recv, 16, "ns since 1970, capture's clock")        \
    F(T, I64, ref_price, 24, "1e-9")                                \
    F(T, U64, auction_time, 32, "ns since 1970")                    \
    F(T, I64, cont_book_clr_price, 40, "1e-9")                      \
    F(T, I64, auct_interest_clr_price, 48, "1e-9")                  \
    F(T, I64, ssr_filling_price, 56, "1e-9")                        \
    F(T, I64, ind_match_price, 64, "1e-9")                          \
    F(T, I64, upper_collar, 72, "1e-9")                             \
    F(T, I64, lower_collar, 80, "1e-9")                             \
    F(T, U32, paired_qty, 88, "shares")                             \
    F(T, U32, total_imbalance_qty, 92, "shares")                    \
    F(T, U32, market_imbalance_qty, 96, "shares")                   \
    F(T, U32, unpaired_qty, 100, "shares")                          \
    F(T, CHAR, auction_type, 104, "venue's")                        \
    F(T, CHAR, side, 105, "B A N")                                  \
    F(T, U8, auction_status, 106, "venue's")                        \
    F(T, U8, freeze_status, 107, "venue's")                         \
    F(T, U8, num_extensions, 108, "extensions of the auction")      \
    F(T, CHAR, unpaired_side, 109, "B A N")                         \
    F(T, CHAR, significant_imbalance, 110, "venue's")               \
    R(T, 1, reserved, 111)

#define TC_DEFINITION_FIELDS(T, F, S, R)                            \
    TC_HEADER_FIELDS(T, F, S, R)                                    \
    F(T, U64, ts_recv, 16, "ns since 1970, capture's clock")        \
    F(T, I64, min_price_increment, 24, "1e-9")                      \
    F(T, I64, display_factor, 32, "1e-9")                           \
    F(T, U64, expiration, 40, "ns since 1970")                      \
    F(T, U64, activation, 48, "ns since 1970")                      \
    F(T, I64, high_limit_price, 56, "1e-9")                         \
    F(T, I64, low_limit_price, 64, "1e-9")                          \
    F(T, I64, max_price_variation, 72, "1e-9")                      \
    F(T, I64, unit_of_measure_qty, 80, "1e-9")                      \
    F(T, I64, min_price_increment_amount, 88, "1e-9")               \
    F(T, I64, price_ratio, 96, "1e-9")                              \
    F(T, I64, strike_price, 104, "1e-9")                            \
    F(T, U64, raw_instrument_id, 112, "venue's")                    \
    F(T, I64, leg_price, 120, "1e-9")                               \
    F(T, I64, leg_delta, 128, "1e-9")                               \
    F(T, I32, inst_attrib_value, 136, "bit set, venue's")           \
    F(T, U32, underlying_id, 140, "instrument_id")                  \
    F(T, I32, market_depth_implied, 144, "levels")                  \
    F(T, I32, market_depth, 148, "levels")                          \
    F(T, U32, market_segment_id, 152, "venue's")                    \
    F(T, U32, max_trade_vol, 156, "contracts")                      \
    F(T, I32, min_lot_size, 160, "contracts")                       \
    F(T, I32, min_lot_size_block, 164, "contracts")                 \
    F(T, I32, min_lot_size_round_lot, 168, "contracts")             \
    F(T, U32, min_trade_vol, 172, "contracts")                      \
    F(T, I32, contract_multiplier, 176, "deliverables")             \
    F(T, I32, decay_quantity, 180, "contracts a day")               \
    F(T, I32, original_contract_size, 184, "contracts")             \
    F(T, U32, leg_instrument_id, 188, "instrument_id")              \
    F(T, I32, leg_ratio_price_numerator, 192, "count")              \
    F(T, I32, leg_ratio_price_denominator, 196, "count")            \
    F(T, I32, leg_ratio_qty_numerator, 200, "count")                \
    F(T, I32, leg_ratio_qty_denominator, 204, "count")              \
    F(T, U32, leg_underlying_id, 208, "instrument_id")              \
    F(T, I16, appl_id, 212, "venue's channel")                      \
    F(T, U16, maturity_year, 214, "year")                           \
    F(T, U16, decay_start_date, 216, "venue's")                     \
    F(T, U16, channel_id, 218, "venue's")                           \
    F(T, U16, leg_count, 220, "count")                              \
    F(T, U16, leg_index, 222, "from 0")                             \
    S(T, 4, currency, 224, "ISO 4217")                              \
    S(T, 4, settl_currency, 228, "ISO 4217")                        \
    S(T, 6, secsubtype, 232, "strategy type")                       \
    S(T, 71, raw_symbol, 238, "venue's symbol")                     \
    S(T, 21, group, 309, "security group")                          \
    S(T, 5, exchange, 330, "ISO 10383")                             \
    S(T, 11, asset, 335, "product code")                            \
    S(T, 7, cfi, 346, "ISO 10962")                                  \
    S(T, 7, security_type, 353, "venue's")                          \
    S(T, 31, unit_of_measure, 360, "venue's")                       \
    S(T, 21, underlying, 391, "venue's symbol")                     \
    S(T, 4, strike_price_currency, 412, "ISO 4217")                 \
    S(T, 71, leg_raw_symbol, 416, "venue's symbol")                 \
    F(T, CHAR, instrument_class, 487, "DBN instrument class")       \
    F(T, CHAR, match_algorithm, 488, "DBN match algorithm")         \
    F(T, U8, main_fraction, 489, "denominator")                     \
    F(T, U8, price_display_format, 490, "digits of the tick part")  \
    F(T, U8, sub_fraction, 491, "denominator")                      \
    F(T, U8, underlying_product, 492, "venue's")                    \
    F(T, CHAR, security_update_action, 493, "A M D")                \
    F(T, U8, maturity_month, 494, "1 to 12")                        \
    F(T, U8, maturity_day, 495, "1 to 31")                          \
    F(T, U8, maturity_week, 496, "week of the month")               \
    F(T, CHAR, user_defined_instrument, 497, "Y N")                 \
    F(T, I8, contract_multiplier_unit, 498, "venue's")              \
    F(T, I8, flow_schedule_type, 499, "venue's")                    \
    F(T, U8, tick_rule, 500, "venue's")                             \
    F(T, CHAR, leg_instrument_class, 501, "DBN instrument class")   \
    F(T, CHAR, leg_side, 502, "B A N")                              \
    R(T, 17, reserved, 503)

typedef uint8_t tc_U8;
typedef uint16_t tc_U16;
typedef uint32_t tc_U32;
typedef uint64_t tc_U64;
typedef int8_t tc_I8;
typedef int16_t tc_I16;
typedef int32_t tc_I32;
typedef int64_t tc_I64;
typedef char tc_CHAR;

#define TC_MEMBER(T, type, name, offset, unit) tc_##type name;
#define TC_STRING(T, bytes, name, offset, unit) char name[bytes];
#define TC_RESERVED(T, bytes, name, offset) uint8_t name[bytes];
#define TC_STRUCT(TABLE, T) TABLE(T, TC_MEMBER, TC_STRING, TC_RESERVED)

typedef struct { TC_STRUCT(TC_HEADER_FIELDS, ) } tc_record_header;
typedef struct { TC_STRUCT(TC_LEVEL_TABLE, ) } tc_level;
typedef struct { TC_STRUCT(TC_TRADE_FIELDS, ) } tc_trade;
typedef struct { TC_STRUCT(TC_QUOTE_FIELDS, ) } tc_quote;
typedef struct { TC_STRUCT(TC_BBO_FIELDS, ) } tc_bbo;
typedef struct { TC_STRUCT(TC_BOOK_FIELDS, ) tc_level levels[TC_BOOK_LEVELS]; } tc_book;
typedef struct { TC_STRUCT(TC_ORDER_FIELDS, ) } tc_order;
typedef struct { TC_STRUCT(TC_BAR_FIELDS, ) } tc_bar;
typedef struct { TC_STRUCT(TC_STATUS_FIELDS, ) } tc_status;
typedef struct { TC_STRUCT(TC_STAT_FIELDS, ) } tc_stat;
typedef struct { TC_STRUCT(TC_IMBALANCE_FIELDS, ) } tc_imbalance;
typedef struct { TC_STRUCT(TC_DEFINITION_FIELDS, ) } tc_definition;

/* Every field lies where its table says, and the fields fill the struct: nothing hides between them. */
#define TC_MEMBER_AT(T, type, name, offset, unit) static_assert(offsetof(T, name) == (offset), #T "." #name);
#define TC_STRING_AT(T, bytes, name, offset, unit) static_assert(offsetof(T, name) == (offset), #T "." #name);
#define TC_RESERVED_AT(T, bytes, name, offset) static_assert(offsetof(T, name) == (offset), #T "." #name);
#define TC_MEMBER_BYTES(T, type, name, offset, unit) + sizeof(tc_##type)
#define TC_STRING_BYTES(T, bytes, name, offset, unit) + (bytes)
#define TC_RESERVED_BYTES(T, bytes, name, offset) + (bytes)
#define TC_CHECK(TABLE, T, total, more)                                                                  \
    TABLE(T, TC_MEMBER_AT, TC_STRING_AT, TC_RESERVED_AT)                                                 \
    static_assert(sizeof(T) == (total), #T);                                                             \
    static_assert((TABLE(T, TC_MEMBER_BYTES, TC_STRING_BYTES, TC_RESERVED_BYTES)) + (more) == (total), #T " has padding");

TC_CHECK(TC_HEADER_FIELDS, tc_record_header, 16, 0)
TC_CHECK(TC_LEVEL_TABLE, tc_level, 32, 0)
TC_CHECK(TC_TRADE_FIELDS, tc_trade, 48, 0)
TC_CHECK(TC_QUOTE_FIELDS, tc_quote, 80, 0)
TC_CHECK(TC_BBO_FIELDS, tc_bbo, 80, 0)
TC_CHECK(TC_BOOK_FIELDS, tc_book, 368, sizeof(tc_level[TC_BOOK_LEVELS]))
TC_CHECK(TC_ORDER_FIELDS, tc_order, 56, 0)
TC_CHECK(TC_BAR_FIELDS, tc_bar, 56, 0)
TC_CHECK(TC_STATUS_FIELDS, tc_status, 40, 0)
TC_CHECK(TC_STAT_FIELDS, tc_stat, 80, 0)
TC_CHECK(TC_IMBALANCE_FIELDS, tc_imbalance, 112, 0)
TC_CHECK(TC_DEFINITION_FIELDS, tc_definition, 520, 0)
static_assert(offsetof(tc_book, levels) == 48, "tc_book.levels");

/* Schemas: (id, name in C, topic word, record, may be conflated). Ids are written into logs: never reuse one. */
#define TC_SCHEMAS(X)                                       \
    X(1, TRADE, "trade", tc_trade, 0)                       \
    X(2, QUOTE, "quote", tc_quote, 1)                       \
    X(3, BBO, "bbo", tc_bbo, 1)                             \
    X(4, BOOK, "book", tc_book, 1)                          \
    X(5, ORDER, "order", tc_order, 0)                       \
    X(6, BAR1S, "bar1s", tc_bar, 0)                         \
    X(7, BAR1M, "bar1m", tc_bar, 0)                         \
    X(8, BAR1H, "bar1h", tc_bar, 0)                         \
    X(9, BAR1D, "bar1d", tc_bar, 0)                         \
    X(10, STATUS, "status", tc_status, 0)                   \
    X(11, STAT, "stat", tc_stat, 0)                         \
    X(12, IMBALANCE, "imbalance", tc_imbalance, 0)          \
    X(13, DEFINITION, "definition", tc_definition, 1)

/* DBN record types that a schema carries; any other is not for the wire. */
#define TC_RTYPES(X)        \
    X(0x00, TRADE)          \
    X(0x01, QUOTE)          \
    X(0x0A, BOOK)           \
    X(0x12, STATUS)         \
    X(0x13, DEFINITION)     \
    X(0x14, IMBALANCE)      \
    X(0x18, STAT)           \
    X(0x20, BAR1S)          \
    X(0x21, BAR1M)          \
    X(0x22, BAR1H)          \
    X(0x23, BAR1D)          \
    X(0xA0, ORDER)          \
    X(0xC3, BBO)            \
    X(0xC4, BBO)

#define TC_SCHEMA_ENUM(id, NAME, word, T, conflatable) TC_SCHEMA_##NAME = id,
enum { TC_SCHEMA_NONE = 0, TC_SCHEMAS(TC_SCHEMA_ENUM) TC_SCHEMA_END };

/* Bytes of one record of a schema; 0: no such schema. */
static inline uint32_t tc_record_bytes(uint16_t schema_id) {
    switch (schema_id) {
#define TC_CASE(id, NAME, word, T, conflatable) case id: return sizeof(T);
        TC_SCHEMAS(TC_CASE)
#undef TC_CASE
        default: return 0;
    }
}

/* Schema that carries a DBN record type; TC_SCHEMA_NONE: none does. */
static inline uint16_t tc_schema_of_rtype(uint8_t rtype) {
    switch (rtype) {
#define TC_CASE(rtype, NAME) case rtype: return TC_SCHEMA_##NAME;
        TC_RTYPES(TC_CASE)
#undef TC_CASE
        default: return TC_SCHEMA_NONE;
    }
}

/* Schema of a topic word of `n` bytes; TC_SCHEMA_NONE: not one of ours. */
static inline uint16_t tc_schema_of_word(const uint8_t* word, size_t n) {
#define TC_MATCH(id, NAME, text, T, conflatable) \
    if (n == sizeof(text) - 1 && memcmp(word, text, sizeof(text) - 1) == 0) return id;
    TC_SCHEMAS(TC_MATCH)
#undef TC_MATCH
    return TC_SCHEMA_NONE;
}

/* Topic word of a schema; NULL: no such schema. */
static inline const char* tc_schema_word(uint16_t schema_id) {
    switch (schema_id) {
#define TC_CASE(id, NAME, word, T, conflatable) case id: return word;
        TC_SCHEMAS(TC_CASE)
#undef TC_CASE
        default: return NULL;
    }
}

/* Only the newest matters, so older ones waiting may be dropped? */
static inline int tc_schema_conflatable(uint16_t schema_id) {
    switch (schema_id) {
#define TC_CASE(id, NAME, word, T, conflatable) case id: return conflatable;
        TC_SCHEMAS(TC_CASE)
#undef TC_CASE
        default: return 0;
    }
}

/* The tables once more, as data, for building dtypes and documents. */
typedef struct {
    const char* record; /* its struct; tc_level is an element of a book's levels */
    const char* name;
    const char* type;   /* numpy scalar, "S" string, "V" reserved, or the name of a record for an array of it */
    uint16_t offset;
    uint16_t bytes;
    const char* unit;
} tc_field;

#define TC_NUMPY_U8 "u1"
#define TC_NUMPY_U16 "<u2"
#define TC_NUMPY_U32 "<u4"
#define TC_NUMPY_U64 "<u8"
#define TC_NUMPY_I8 "i1"
#define TC_NUMPY_I16 "<i2"
#define TC_NUMPY_I32 "<i4"
#define TC_NUMPY_I64 "<i8"
#define TC_NUMPY_CHAR "S"
#define TC_MEMBER_ROW(T, type, name, offset, unit) {#T, #name, TC_NUMPY_##type, offset, sizeof(tc_##type), unit},
#define TC_STRING_ROW(T, bytes, name, offset, unit) {#T, #name, "S", offset, bytes, unit},
#define TC_RESERVED_ROW(T, bytes, name, offset) {#T, #name, "V", offset, bytes, ""},
#define TC_ROWS(TABLE, T) TABLE(T, TC_MEMBER_ROW, TC_STRING_ROW, TC_RESERVED_ROW)

/* All fields of all records, in order of record and offset; `*n` is their number. */
static inline const tc_field* tc_fields(size_t* n) {
    static const tc_field fields[] = {
        TC_ROWS(TC_LEVEL_TABLE, tc_level)
        TC_ROWS(TC_TRADE_FIELDS, tc_trade)
        TC_ROWS(TC_QUOTE_FIELDS, tc_quote)
        TC_ROWS(TC_BBO_FIELDS, tc_bbo)
        TC_ROWS(TC_BOOK_FIELDS, tc_book)
        {"tc_book", "levels", "tc_level", 48, sizeof(tc_level[TC_BOOK_LEVELS]), "best first"},
        TC_ROWS(TC_ORDER_FIELDS, tc_order)
        TC_ROWS(TC_BAR_FIELDS, tc_bar)
        TC_ROWS(TC_STATUS_FIELDS, tc_status)
        TC_ROWS(TC_STAT_FIELDS, tc_stat)
        TC_ROWS(TC_IMBALANCE_FIELDS, tc_imbalance)
        TC_ROWS(TC_DEFINITION_FIELDS, tc_definition)
    };
    *n = sizeof fields / sizeof *fields;
    return fields;
}

typedef struct {
    uint16_t id;
    uint16_t conflatable;
    const char* word;
    const char* record;
} tc_schema;

/* All schemas, in order of id; `*n` is their number. */
static inline const tc_schema* tc_schemas(size_t* n) {
    static const tc_schema schemas[] = {
#define TC_ROW(id, NAME, word, T, conflatable) {id, conflatable, word, #T},
        TC_SCHEMAS(TC_ROW)
#undef TC_ROW
    };
    *n = sizeof schemas / sizeof *schemas;
    return schemas;
}

#endif
