# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Binance's JSON as the fields of one message, without an object: names are letters, numbers are whole, decimals are texts."""

from libc.string cimport memcmp, memset

from feed.normalize.levels cimport DECIMAL_FITS, decimal


cdef bint read_message(const char* text, size_t n, binance_message* message) noexcept nogil:
    cdef tc_json at
    memset(message, 0, sizeof(binance_message))
    at.at = text
    at.end = text + n
    return _fields(&at, message, 0) and tc_json_next(&at) == 0


cdef bint _fields(tc_json* at, binance_message* message, int depth) noexcept nogil:
    cdef const char* key
    cdef size_t n
    if not tc_json_take(at, c"{"):
        return False
    if tc_json_take(at, c"}"):
        return True
    while True:
        if not tc_json_text(at, &key, &n) or not tc_json_take(at, c":"):
            return False
        if n == 1:
            if not _field(at, key[0], message):
                return False
        elif n == 4 and depth == 0 and memcmp(key, b"data", 4) == 0 and tc_json_next(at) == c"{":
            if not _fields(at, message, 1):
                return False
        elif n == 2 and memcmp(key, b"pu", 2) == 0:
            message.has_pu = True
            if not tc_json_whole(at, &message.pu):
                return False
        elif n == 12 and memcmp(key, b"lastUpdateId", 12) == 0:
            message.has_id = True
            if not tc_json_whole(at, &message.lastUpdateId):
                return False
        else:
            if n == 4 and memcmp(key, b"bids", 4) == 0:
                message.b = at[0]
            elif n == 4 and memcmp(key, b"asks", 4) == 0:
                message.a = at[0]
            if not tc_json_skip(at):
                return False
        if not tc_json_take(at, c","):
            return tc_json_take(at, c"}")


cdef bint _field(tc_json* at, char key, binance_message* message) noexcept nogil:
    """One with a letter for a name."""
    if key == c"e":
        return tc_json_text(at, &message.event, &message.event_n)
    if key == c"s":
        return tc_json_text(at, &message.symbol, &message.symbol_n)
    if key == c"E":
        return tc_json_whole(at, &message.E)
    if key == c"T":
        return tc_json_whole(at, &message.T)
    if key == c"U":
        message.has_U = True
        return tc_json_whole(at, &message.U)
    if key == c"u":
        message.has_u = True
        return tc_json_whole(at, &message.u)
    if key == c"t":
        message.has_t = True
        return tc_json_whole(at, &message.t)
    if key == c"m":
        message.has_m = True
        message.m = tc_json_next(at) == c"t"
    elif key == c"b":
        message.b = at[0]
    elif key == c"a":
        message.a = at[0]
    elif key == c"B":
        message.B = at[0]
    elif key == c"A":
        message.A = at[0]
    elif key == c"p":
        message.p = at[0]
    elif key == c"q":
        message.q = at[0]
    return tc_json_skip(at)


cdef bint is_event(const binance_message* message, const char* word, size_t n) noexcept nogil:
    return message.event is not NULL and message.event_n == n and memcmp(message.event, word, n) == 0


cdef bint number_at(tc_json at, exact* number) noexcept nogil:
    return at.at is not NULL and take_number(&at, number)


cdef bint take_number(tc_json* at, exact* number) noexcept nogil:
    """A decimal number between quotes. Zeros at its end are not among its digits: spot writes eight decimals of anything."""
    cdef const char* text
    cdef size_t n, i
    if not tc_json_text(at, &text, &n):
        return False
    for i in range(n):
        if text[i] == c".":
            while n > i + 1 and text[n - 1] == c"0":
                n -= 1
            break
    return decimal(text, n, number) == DECIMAL_FITS
