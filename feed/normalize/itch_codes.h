/* What Nasdaq's codes are in DBN's status records: trading states, reasons of trading actions, system events. */
#ifndef TICKCAST_NORMALIZE_ITCH_CODES_H
#define TICKCAST_NORMALIZE_ITCH_CODES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* is_trading, is_quoting: 'Y' 'N', or '~' where the code does not say */
typedef struct { char code; uint16_t action; char is_trading; char is_quoting; } tc_itch_state;

/* State of a trading action (H): halted, paused, quotation only, trading. */
static const tc_itch_state tc_itch_states[] = {{'H', 8, 'N', 'N'}, {'P', 9, 'N', 'N'}, {'Q', 3, 'N', 'Y'}, {'T', 7, 'Y', 'Y'}};

/* Code of a system event (S): start and end of messages, of system hours, of market hours. */
static const tc_itch_state tc_itch_events[] = {
    {'O', 0, 'N', 'N'},  {'S', 1, 'Y', 'Y'},  {'Q', 7, 'Y', 'Y'},
    {'M', 12, 'Y', 'Y'}, {'E', 13, 'N', 'N'}, {'C', 15, 'N', 'N'},
};

#define TC_ITCH_FIND(table, wanted)                                       \
    for (size_t i = 0; i < sizeof(table) / sizeof *(table); i++)          \
        if ((table)[i].code == (wanted))                                  \
            return &(table)[i];                                           \
    return NULL

/* NULL: there is no such code. */
static inline const tc_itch_state *tc_itch_state_of(char code) { TC_ITCH_FIND(tc_itch_states, code); }
static inline const tc_itch_state *tc_itch_event_of(char code) { TC_ITCH_FIND(tc_itch_events, code); }

/* Reason of a trading action (H) as DBN's; 0 where DBN has none or it is blank. */
static inline uint16_t tc_itch_reason_of(const uint8_t *reason)
{
    static const struct { char code[5]; uint8_t reason; } reasons[] = {
        {"T1  ", 30}, {"T2  ", 31}, {"T3  ", 32}, {"T5  ", 50}, {"T6  ", 3}, {"T7  ", 50}, {"T8  ", 90}, {"T12 ", 70},
        {"H4  ", 12}, {"H9  ", 13}, {"H10 ", 14}, {"H11 ", 10}, {"O1  ", 60}, {"LUDP", 50}, {"LUDS", 50}, {"M1  ", 100},
        {"M2  ", 130}, {"MWC0", 123}, {"MWC1", 120}, {"MWC2", 121}, {"MWC3", 122}, {"MWCQ", 124}, {"IPO1", 15},
        {"IPOQ", 16}, {"IPOE", 15}, {"R1  ", 16}, {"R2  ", 16}, {"R4  ", 17}, {"R9  ", 18}, {"C3  ", 33}, {"C4  ", 17},
        {"C9  ", 18}, {"C11 ", 10},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (memcmp(reasons[i].code, reason, 4) == 0)
            return reasons[i].reason;
    return 0;
}

#endif
