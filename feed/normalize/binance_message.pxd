"""Table of contents of Binance's messages as they are read, for cimport."""

from libc.stdint cimport uint64_t

from feed.normalize.levels cimport exact

cdef extern from "feed/normalize/json_scan.h" nogil:
    ctypedef struct tc_json:
        const char* at
        const char* end

    char tc_json_next(tc_json* j)
    bint tc_json_take(tc_json* j, char c)
    bint tc_json_text(tc_json* j, const char** text, size_t* n)
    bint tc_json_whole(tc_json* j, uint64_t* number)
    bint tc_json_skip(tc_json* j)


cdef struct binance_message:      # the fields of one, by the venue's letters; a number that is not there is 0
    const char* event             # e; NULL: it has none
    size_t event_n
    const char* symbol            # s, NULL: it has none
    size_t symbol_n
    uint64_t E, T, U, u, pu, t, lastUpdateId
    bint has_U, has_u, has_pu, has_t, has_m, has_id
    bint m
    tc_json b, a, B, A, p, q      # stand before their values; `at` NULL: not there


# One message, bare or within {"stream", "data"}, or a snapshot; False: it is no JSON object, or a field is of another kind.
cdef bint read_message(const char* text, size_t n, binance_message* message) noexcept nogil
# Is this its e?
cdef bint is_event(const binance_message* message, const char* word, size_t n) noexcept nogil
# The decimal number, between quotes, that stands there; False: none does, or one of more digits than are kept.
cdef bint number_at(tc_json at, exact* number) noexcept nogil
# The same, and stand behind it.
cdef bint take_number(tc_json* at, exact* number) noexcept nogil
