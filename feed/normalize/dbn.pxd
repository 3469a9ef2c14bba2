"""Table of contents of the DBN decoder, for cimport. Layouts and what is found in them: dbn.h."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from feed.wire.records cimport TC_SCHEMA_END

cdef extern from "feed/normalize/dbn.h" nogil:
    enum:
        TC_DBN_IS_IMPOSSIBLE
        TC_DBN_IS_PARTIAL
        TC_DBN_IS_RECORD
        TC_DBN_IS_MAPPING
        TC_DBN_IS_UNSUPPORTED
        TC_DBN_IS_UNKNOWN
        TC_DBN_IS_WRONG_LENGTH

    ctypedef struct tc_dbn_record:
        const uint8_t* record
        uint32_t record_bytes
        uint32_t input_bytes
        uint32_t instrument_id
        uint16_t schema
        uint8_t rtype
        uint64_t ts

    ctypedef struct tc_dbn_mapping:
        uint32_t instrument_id
        char* symbol_in
        char* symbol_out

    int tc_dbn_next(const uint8_t* bytes, size_t n, int version, int ts_out, uint8_t* scratch, tc_dbn_record* out) noexcept
    void tc_dbn_mapping_of(const tc_dbn_record* found, int version, tc_dbn_mapping* out) noexcept


cdef enum:
    TOPIC_UNKNOWN = 0xFFFFFFFF    # not asked for yet
    TOPIC_REFUSED = 0xFFFFFFFE    # the sink takes no more topics: count and go on


cdef struct dbn_instrument:
    uint32_t id
    bint taken
    uint64_t from_ns              # the symbol, and so the topics, hold in [from_ns, to_ns)
    uint64_t to_ns
    uint32_t topics[TC_SCHEMA_END]


cdef struct dbn_stream:
    uint8_t* bytes                # decompressed records; [at, end) is still to be read
    size_t at
    size_t end
    uint64_t offset               # of bytes[at], counted from the file's first record
    int version
    bint ts_out
    uint32_t order                # of the file: who goes first at the same time
    bint ready                    # `head` is a record that waits for its turn
    uint64_t key                  # ns: time of the head, or a time before which nothing more will come
    uint32_t step                 # input bytes of what was decoded last
    tc_dbn_record head
    uint8_t scratch[520]
    dbn_instrument* instruments   # open addressing, a power of two of slots
    uint32_t slots
    uint32_t used


cdef class DbnStream:
    cdef dbn_stream s
    cdef object _buffer
    cdef size_t _capacity

# Step over what was decoded last and decode what follows into `head`. Returns TC_DBN_IS_*.
cdef int dbn_advance(dbn_stream* s) noexcept nogil
# What is known of an instrument; NULL: nothing.
cdef dbn_instrument* dbn_find(dbn_stream* s, uint32_t instrument_id) noexcept nogil
