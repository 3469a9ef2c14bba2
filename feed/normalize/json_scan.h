/* Walking over JSON text without making anything of it: what a venue says some thousand times a second.
 *
 * A tc_json stands before a value. Each call takes one thing and stands behind it, or gives 0 and the text is not what was
 * looked for; then it may stand anywhere. Nothing is read beyond `end`. A text is given as it stands between its quotes: one
 * with a backslash is refused, as no venue's names and numbers have any.
 */
#ifndef TICKCAST_NORMALIZE_JSON_SCAN_H
#define TICKCAST_NORMALIZE_JSON_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const char* at;
    const char* end;
} tc_json;

static inline void tc_json_space(tc_json* j) {
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r')) j->at++;
}

/* The character that comes next, 0 at the end. */
static inline char tc_json_next(tc_json* j) {
    tc_json_space(j);
    return j->at < j->end ? *j->at : 0;
}

/* This character, or nothing. */
static inline int tc_json_take(tc_json* j, char c) {
    if (tc_json_next(j) != c || c == 0) return 0;
    j->at++;
    return 1;
}

static inline int tc_json_text(tc_json* j, const char** text, size_t* n) {
    if (!tc_json_take(j, '"')) return 0;
    const char* at = j->at;
    while (at < j->end && *at != '"') {
        if (*at == '\\' || (unsigned char)*at < 0x20) return 0;
        at++;
    }
    if (at == j->end) return 0;
    *text = j->at;
    *n = (size_t)(at - j->at);
    j->at = at + 1;
    return 1;
}

/* A whole number without a sign, below 10^19. */
static inline int tc_json_whole(tc_json* j, uint64_t* number) {
    tc_json_space(j);
    const char* at = j->at;
    uint64_t value = 0;
    while (at < j->end && (unsigned)(*at - '0') <= 9) {
        if (at - j->at == 19) return 0;
        value = 10 * value + (uint64_t)(*at++ - '0');
    }
    if (at == j->at || (at < j->end && (*at == '.' || *at == 'e' || *at == 'E'))) return 0;
    j->at = at;
    *number = value;
    return 1;
}

/* Any value. Of lists and objects only where they end is looked at. */
static inline int tc_json_skip(tc_json* j) {
    size_t depth = 0;
    tc_json_space(j);
    const char* at = j->at;
    while (at < j->end) {
        char c = *at;
        if (c == '"') {
            for (at++; at < j->end && *at != '"'; at++)
                if (*at == '\\') at++;
            if (at >= j->end) return 0;
            at++;
            if (depth == 0) { j->at = at; return 1; }
        } else if (c == '[' || c == '{') {
            depth++;
            at++;
        } else if (c == ']' || c == '}' || (c == ',' && depth == 0)) {
            if (depth == 0) break;
            at++;
            if (--depth == 0) { j->at = at; return 1; }
        } else {
            at++;
        }
    }
    if (depth || at == j->at) return 0;
    j->at = at;
    return 1;
}

#endif
