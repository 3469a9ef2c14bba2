"""C names of records.h for cimport. Units and offsets stand there, in the field tables."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "feed/wire/records.h" nogil:
    const int64_t TC_UNDEF_PRICE
    const uint64_t TC_UNDEF_TIMESTAMP
    const uint32_t TC_UNDEF_ORDER_SIZE
    const int64_t TC_PRICE_UNITS

    enum:
        TC_BOOK_LEVELS
        TC_SCHEMA_NONE
        TC_SCHEMA_TRADE
        TC_SCHEMA_QUOTE
        TC_SCHEMA_BBO
        TC_SCHEMA_BOOK
        TC_SCHEMA_ORDER
        TC_SCHEMA_BAR1S
        TC_SCHEMA_BAR1M
        TC_SCHEMA_BAR1H
        TC_SCHEMA_BAR1D
        TC_SCHEMA_STATUS
        TC_SCHEMA_STAT
        TC_SCHEMA_IMBALANCE
        TC_SCHEMA_DEFINITION
        TC_SCHEMA_END       # one above the greatest id: the size of an array indexed by schema id

    ctypedef struct tc_record_header:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event

    ctypedef struct tc_level:
        int64_t bid_px
        int64_t ask_px
        uint32_t bid_sz
        uint32_t ask_sz
        uint32_t bid_ct
        uint32_t ask_ct

    ctypedef struct tc_trade:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event
        int64_t price
        uint32_t size
        char action
        char side
        uint8_t flags
        uint8_t depth
        uint64_t ts_recv
        int32_t ts_in_delta
        uint32_t sequence

    ctypedef struct tc_quote:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event
        int64_t price
        uint32_t size
        char action
        char side
        uint8_t flags
        uint8_t depth
        uint64_t ts_recv
        int32_t ts_in_delta
        uint32_t sequence
        int64_t bid_px
        int64_t ask_px
        uint32_t bid_sz
        uint32_t ask_sz
        uint32_t bid_ct
        uint32_t ask_ct

    ctypedef struct tc_bbo:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event
        int64_t price
        uint32_t size
        char side
        uint8_t flags
        uint64_t ts_recv
        uint32_t sequence
        int64_t bid_px
        int64_t ask_px
        uint32_t bid_sz
        uint32_t ask_sz
        uint32_t bid_ct
        uint32_t ask_ct

    ctypedef struct tc_book:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event
        int64_t price
        uint32_t size
        char action
        char side
        uint8_t flags
        uint8_t depth
        uint64_t ts_recv
        int32_t ts_in_delta
        uint32_t sequence
        tc_level levels[10]

    ctypedef struct tc_order:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event
        uint64_t order_id
        int64_t price
        uint32_t size
        uint8_t flags
        uint8_t channel_id
        char action
        char side
        uint64_t ts_recv
        int32_t ts_in_delta
        uint32_t sequence

    ctypedef struct tc_bar:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event
        int64_t open
        int64_t high
        int64_t low
        int64_t close
        uint64_t volume

    ctypedef struct tc_status:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event
        uint64_t ts_recv
        uint16_t action
        uint16_t reason
        uint16_t trading_event
        char is_trading
        char is_quoting
        char is_short_sell_restricted

    ctypedef struct tc_stat:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event
        uint64_t ts_recv
        uint64_t ts_ref
        int64_t price
        int64_t quantity
        uint32_t sequence
        int32_t ts_in_delta
        uint16_t stat_type
        uint16_t channel_id
        uint8_t update_action
        uint8_t stat_flags

    ctypedef struct tc_imbalance:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event
        uint64_t ts_recv
        int64_t ref_price
        uint64_t auction_time
        int64_t cont_book_clr_price
        int64_t auct_interest_clr_price
        int64_t ssr_filling_price
        int64_t ind_match_price
        int64_t upper_collar
        int64_t lower_collar
        uint32_t paired_qty
        uint32_t total_imbalance_qty
        uint32_t market_imbalance_qty
        uint32_t unpaired_qty
        char auction_type
        char side
        uint8_t auction_status
        uint8_t freeze_status
        uint8_t num_extensions
        char unpaired_side
        char significant_imbalance

    ctypedef struct tc_definition:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event
        uint64_t ts_recv
        int64_t min_price_increment
        int64_t display_factor
        uint64_t expiration
        uint64_t activation
        int64_t high_limit_price
        int64_t low_limit_price
        int64_t max_price_variation
        int64_t unit_of_measure_qty
        int64_t min_price_increment_amount
        int64_t price_ratio
        int64_t strike_price
        uint64_t raw_instrument_id
        int64_t leg_price
        int64_t leg_delta
        int32_t inst_attrib_value
        uint32_t underlying_id
        int32_t market_depth_implied
        int32_t market_depth
        uint32_t market_segment_id
        uint32_t max_trade_vol
        int32_t min_lot_size
        int32_t min_lot_size_block
        int32_t min_lot_size_round_lot
        uint32_t min_trade_vol
        int32_t contract_multiplier
        int32_t decay_quantity
        int32_t original_contract_size
        uint32_t leg_instrument_id
        int32_t leg_ratio_price_numerator
        int32_t leg_ratio_price_denominator
        int32_t leg_ratio_qty_numerator
        int32_t leg_ratio_qty_denominator
        uint32_t leg_underlying_id
        int16_t appl_id
        uint16_t maturity_year
        uint16_t decay_start_date
        uint16_t channel_id
        uint16_t leg_count
        uint16_t leg_index
        char currency[4]
        char settl_currency[4]
        char secsubtype[6]
        char raw_symbol[71]
        char group[21]
        char exchange[5]
        char asset[11]
        char cfi[7]
        char security_type[7]
        char unit_of_measure[31]
        char underlying[21]
        char strike_price_currency[4]
        char leg_raw_symbol[71]
        char instrument_class
        char match_algorithm
        uint8_t main_fraction
        uint8_t price_display_format
        uint8_t sub_fraction
        uint8_t underlying_product
        char security_update_action
        uint8_t maturity_month
        uint8_t maturity_day
        uint8_t maturity_week
        char user_defined_instrument
        int8_t contract_multiplier_unit
        int8_t flow_schedule_type
        uint8_t tick_rule
        char leg_instrument_class
        char leg_side

    ctypedef struct tc_field:
        const char* record
        const char* name
        const char* type
        uint16_t offset
        uint16_t bytes
        const char* unit

    ctypedef struct tc_schema:
        uint16_t id
        uint16_t conflatable
        const char* word
        const char* record

    # 0, TC_SCHEMA_NONE or NULL: no such schema
    uint32_t tc_record_bytes(uint16_t schema_id) noexcept
    uint16_t tc_schema_of_rtype(uint8_t rtype) noexcept
    uint16_t tc_schema_of_word(const uint8_t* word, size_t n) noexcept
    const char* tc_schema_word(uint16_t schema_id) noexcept
    bint tc_schema_conflatable(uint16_t schema_id) noexcept

    const tc_field* tc_fields(size_t* n) noexcept
    const tc_schema* tc_schemas(size_t* n) noexcept
