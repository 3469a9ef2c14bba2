/* Times as venues write them: 2023-10-06T17:35:55.440295Z, in UTC, to the nanosecond. */
#ifndef TICKCAST_NORMALIZE_RFC3339_H
#define TICKCAST_NORMALIZE_RFC3339_H

#include <stddef.h>
#include <stdint.h>

/* `n` digits as a number; -1: they are none. */
static inline int64_t tc_digits(const char *text, int n) {
    int64_t value = 0;
    for (int i = 0; i < n; i++) {
        unsigned digit = (unsigned)(text[i] - '0');
        if (digit > 9) return -1;
        value = 10 * value + digit;
    }
    return value;
}

/* ns since 1970; UINT64_MAX, which is DBN's undefined time, for what is no such time, or before 1970. */
static inline uint64_t tc_rfc3339(const char *text, size_t n) {
    static const int64_t SCALE[] = {1000000000, 100000000, 10000000, 1000000, 100000, 10000, 1000, 100, 10, 1};
    if (n < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != ' ') || text[13] != ':' ||
        text[16] != ':')
        return UINT64_MAX;
    int64_t year = tc_digits(text, 4), month = tc_digits(text + 5, 2), day = tc_digits(text + 8, 2);
    int64_t hour = tc_digits(text + 11, 2), minute = tc_digits(text + 14, 2), second = tc_digits(text + 17, 2), ns = 0;
    if (year < 1970 || year > 2500 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60)
        return UINT64_MAX;
    size_t at = 19;
    if (text[at] == '.') {
        int digits = 0;
        for (at++; at < n && (unsigned)(text[at] - '0') <= 9; at++)
            if (digits < 9) ns = 10 * ns + (text[at] - '0'), digits++;
        if (digits == 0) return UINT64_MAX;
        ns *= SCALE[digits];
    }
    if (!(n - at == 1 && text[at] == 'Z') && !(n - at == 6 && text[at] == '+' && tc_digits(text + at + 1, 2) == 0 &&
                                                text[at + 3] == ':' && tc_digits(text + at + 4, 2) == 0))
        return UINT64_MAX;
    /* Days of the civil calendar, years that begin in March: the leap day is the last of one. */
    if (month < 3) year--;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = 365 * year + year / 4 - year / 100 + year / 400 + of_year - 719468;
    return (uint64_t)(((days * 24 + hour) * 60 + minute) * 60 + second) * 1000000000u + (uint64_t)ns;
}

#endif
