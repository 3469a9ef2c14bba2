/* DBN records out of a buffer, one at a time: versions 1 to 3 come in, the layout of version 3 goes out.
 *
 * Source: Databento Binary Encoding, "Upgrading" and the record layouts of versions 1, 2 and 3. Only definitions,
 * statistics and symbol mappings differ between them; all other records are the same bytes in every version.
 * Freestanding: no allocation, no state, never a read outside [bytes, bytes + n).
 */
#ifndef TICKCAST_NORMALIZE_DBN_H
#define TICKCAST_NORMALIZE_DBN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "feed/wire/records.h"

enum {
    TC_DBN_VERSION_MIN = 1,
    TC_DBN_VERSION_MAX = 3,
    TC_DBN_HEADER = 16,            /* bytes of a record's header */
    TC_DBN_RECORD_MAX = 255 * 4,   /* what the length byte can say */
    TC_DBN_SCRATCH = 520,          /* the longest record of version 3 */
    TC_DBN_MAPPING = 22,           /* rtype of a symbol mapping */
    TC_DBN_SYMBOL_MAX = 71         /* bytes of a symbol with its NUL, versions 2 and 3 */
};

/* What tc_dbn_next found. */
enum {
    TC_DBN_IS_IMPOSSIBLE = -1,     /* a length shorter than a header: nothing after it can be found any more */
    TC_DBN_IS_PARTIAL = 0,         /* the record is not whole yet: more bytes, please */
    TC_DBN_IS_RECORD = 1,          /* a record of one of our schemas */
    TC_DBN_IS_MAPPING = 2,         /* a symbol mapping; read it with tc_dbn_mapping_of */
    TC_DBN_IS_UNSUPPORTED = 3,     /* a DBN record without a schema here (consolidated, system, error, ...) */
    TC_DBN_IS_UNKNOWN = 4,         /* an rtype that DBN does not define */
    TC_DBN_IS_WRONG_LENGTH = 5     /* a length that its rtype does not have in this version */
};

typedef struct {
    const uint8_t* record;     /* version 3, in the input or the scratch, not aligned; only of records and mappings */
    uint32_t record_bytes;
    uint32_t input_bytes;      /* to step over, whatever was found */
    uint32_t instrument_id;
    uint16_t schema;           /* TC_SCHEMA_NONE unless a record */
    uint8_t rtype;
    uint64_t ts;               /* ns since 1970: ts_recv where the record has one, else ts_event; may be undefined */
} tc_dbn_record;

typedef struct {
    uint32_t instrument_id;
    char symbol_in[TC_DBN_SYMBOL_MAX + 1];   /* NUL terminated */
    char symbol_out[TC_DBN_SYMBOL_MAX + 1];
} tc_dbn_mapping;

static inline uint32_t tc_dbn_load32(const uint8_t* at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t tc_dbn_load64(const uint8_t* at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* Bytes of a record in a version, without ts_out; 0: not a schema. */
static inline uint32_t tc_dbn_bytes(uint16_t schema, int version) {
    if (schema == TC_SCHEMA_DEFINITION && version < 3) return version == 1 ? 360 : 400;
    if (schema == TC_SCHEMA_STAT && version < 3) return 64;
    return tc_record_bytes(schema);
}

/* Where a schema has its ts_recv; 0: it has none (bars). */
static inline size_t tc_dbn_ts_recv_at(uint16_t schema) {
    switch (schema) {
        case TC_SCHEMA_TRADE: case TC_SCHEMA_QUOTE: case TC_SCHEMA_BBO: case TC_SCHEMA_BOOK:
            return offsetof(tc_trade, ts_recv);
        case TC_SCHEMA_ORDER: return offsetof(tc_order, ts_recv);
        case TC_SCHEMA_STATUS: return offsetof(tc_status, ts_recv);
        case TC_SCHEMA_STAT: return offsetof(tc_stat, ts_recv);
        case TC_SCHEMA_IMBALANCE: return offsetof(tc_imbalance, ts_recv);
        case TC_SCHEMA_DEFINITION: return offsetof(tc_definition, ts_recv);
        default: return 0;
    }
}

static inline int tc_dbn_is_known(uint8_t rtype) {
    switch (rtype) {
        case 17: case 21: case 23: case 36:             /* ohlcv without interval, error, system, ohlcv-eod */
        case 177: case 192: case 193: case 194:         /* cmbp-1, cbbo-1s, cbbo-1m, tcbbo */
            return 1;
        default:
            return 0;
    }
}

typedef struct {
    uint16_t from;   /* offset in the old definition */
    uint16_t to;     /* offset in tc_definition */
    uint16_t bytes;
} tc_dbn_move;

#define TC_TO(field) offsetof(tc_definition, field)

/* Dropped on the way: trading_reference_price and _date, md_security_trading_status, settl_price_type. */
static const tc_dbn_move tc_dbn_definition_1[] = {
    {2, TC_TO(publisher_id), 78},                /* to max_price_variation */
    {88, TC_TO(unit_of_measure_qty), 24},        /* to price_ratio */
    {112, TC_TO(inst_attrib_value), 8},          /* to underlying_id */
    {120, TC_TO(raw_instrument_id), 4},          /* u32, now u64 */
    {124, TC_TO(market_depth_implied), 32},      /* to min_trade_vol */
    {160, TC_TO(contract_multiplier), 12},       /* to original_contract_size */
    {178, TC_TO(appl_id), 8},                    /* to channel_id */
    {186, TC_TO(currency), 36},                  /* to raw_symbol, 22 bytes, now 71 */
    {222, TC_TO(group), 33},                     /* to asset, 7 bytes, now 11 */
    {255, TC_TO(cfi), 70},                       /* to strike_price_currency */
    {325, TC_TO(instrument_class), 1},
    {328, TC_TO(strike_price), 8},
    {342, TC_TO(match_algorithm), 1},
    {344, TC_TO(main_fraction), 2},              /* to price_display_format */
    {347, TC_TO(sub_fraction), 10},              /* to tick_rule */
};
static const tc_dbn_move tc_dbn_definition_2[] = {
    {2, TC_TO(publisher_id), 78},                /* to max_price_variation */
    {88, TC_TO(unit_of_measure_qty), 32},        /* to strike_price */
    {120, TC_TO(inst_attrib_value), 8},          /* to underlying_id */
    {128, TC_TO(raw_instrument_id), 4},          /* u32, now u64 */
    {132, TC_TO(market_depth_implied), 44},      /* to original_contract_size */
    {178, TC_TO(appl_id), 8},                    /* to channel_id */
    {186, TC_TO(currency), 118},                 /* to asset, 7 bytes, now 11 */
    {304, TC_TO(cfi), 70},                       /* to strike_price_currency */
    {374, TC_TO(instrument_class), 2},           /* to match_algorithm */
    {377, TC_TO(main_fraction), 2},              /* to price_display_format */
    {380, TC_TO(sub_fraction), 10},              /* to tick_rule */
};

/* A definition of version 1 or 2 (360 or 400 bytes) as version 3; fields that are new are undefined, as DBN says. */
static inline void tc_dbn_upgrade_definition(const uint8_t* old, int version, uint8_t* out) {
    const tc_dbn_move* moves = version == 1 ? tc_dbn_definition_1 : tc_dbn_definition_2;
    size_t n = version == 1 ? sizeof tc_dbn_definition_1 / sizeof *moves : sizeof tc_dbn_definition_2 / sizeof *moves;
    const int64_t undefined = TC_UNDEF_PRICE;
    memset(out, 0, sizeof(tc_definition));
    out[0] = sizeof(tc_definition) / 4;
    out[1] = old[1];
    memcpy(out + TC_TO(leg_price), &undefined, sizeof undefined);
    memcpy(out + TC_TO(leg_delta), &undefined, sizeof undefined);
    out[TC_TO(leg_side)] = 'N';
    for (size_t i = 0; i < n; i++) memcpy(out + moves[i].to, old + moves[i].from, moves[i].bytes);
}

/* A statistic of version 1 or 2 (64 bytes) as version 3: the quantity grows from 32 to 64 bits. */
static inline void tc_dbn_upgrade_stat(const uint8_t* old, uint8_t* out) {
    int32_t narrow;
    memcpy(&narrow, old + 40, sizeof narrow);
    const int64_t quantity = narrow == INT32_MAX ? INT64_MAX : narrow;
    memset(out, 0, sizeof(tc_stat));
    memcpy(out, old, offsetof(tc_stat, quantity));
    out[0] = sizeof(tc_stat) / 4;
    memcpy(out + offsetof(tc_stat, quantity), &quantity, sizeof quantity);
    memcpy(out + offsetof(tc_stat, sequence), old + 44, 14);   /* to stat_flags */
}

/* The two symbols of a mapping that tc_dbn_next found. `version` is the file's. */
static inline void tc_dbn_mapping_of(const tc_dbn_record* found, int version, tc_dbn_mapping* out) {
    const size_t symbol_bytes = version == 1 ? 22 : TC_DBN_SYMBOL_MAX;
    const size_t in_at = version == 1 ? 16 : 17, out_at = version == 1 ? 38 : 89;
    memset(out, 0, sizeof *out);
    out->instrument_id = found->instrument_id;
    memcpy(out->symbol_in, found->record + in_at, symbol_bytes);
    memcpy(out->symbol_out, found->record + out_at, symbol_bytes);
}

/* The record at `bytes`, of which `n` are there. `scratch` (TC_DBN_SCRATCH) may hold it afterwards; `out->record` is
 * BORROWED: good until the input or the scratch changes. With `ts_out` each record ends in 8 bytes that are left away.
 * Returns TC_DBN_IS_*. */
static inline int tc_dbn_next(const uint8_t* bytes, size_t n, int version, int ts_out, uint8_t* scratch,
                              tc_dbn_record* out) {
    if (n == 0) return TC_DBN_IS_PARTIAL;
    const uint32_t whole = bytes[0] * 4u;
    if (whole < TC_DBN_HEADER) return TC_DBN_IS_IMPOSSIBLE;
    if (whole > n) return TC_DBN_IS_PARTIAL;
    memset(out, 0, sizeof *out);
    out->input_bytes = whole;
    out->rtype = bytes[1];
    out->instrument_id = tc_dbn_load32(bytes + offsetof(tc_record_header, instrument_id));
    out->ts = tc_dbn_load64(bytes + offsetof(tc_record_header, ts_event));

    const uint32_t body = whole - (ts_out ? 8u : 0u);
    const uint16_t schema = tc_schema_of_rtype(out->rtype);
    if (schema == TC_SCHEMA_NONE) {
        if (tc_dbn_is_known(out->rtype)) return TC_DBN_IS_UNSUPPORTED;
        if (out->rtype != TC_DBN_MAPPING) return TC_DBN_IS_UNKNOWN;
        if (body != (version == 1 ? 80u : 176u)) return TC_DBN_IS_WRONG_LENGTH;
        out->record = bytes;
        out->record_bytes = body;
        return TC_DBN_IS_MAPPING;
    }
    if (body != tc_dbn_bytes(schema, version)) return TC_DBN_IS_WRONG_LENGTH;
    out->schema = schema;
    out->record_bytes = tc_record_bytes(schema);
    out->record = scratch;
    if (schema == TC_SCHEMA_DEFINITION && version < 3) {
        tc_dbn_upgrade_definition(bytes, version, scratch);
    } else if (schema == TC_SCHEMA_STAT && version < 3) {
        tc_dbn_upgrade_stat(bytes, scratch);
    } else if (ts_out) {
        memcpy(scratch, bytes, body);
        scratch[0] = (uint8_t)(body / 4);
    } else {
        out->record = bytes;
    }
    const size_t ts_recv_at = tc_dbn_ts_recv_at(schema);
    if (ts_recv_at) {
        const uint64_t ts_recv = tc_dbn_load64(out->record + ts_recv_at);
        if (ts_recv != TC_UNDEF_TIMESTAMP) out->ts = ts_recv;
    }
    return TC_DBN_IS_RECORD;
}

static_assert(sizeof(tc_definition) == TC_DBN_SCRATCH, "the scratch holds the longest record");

#endif
