# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The best bid and offer of an instrument across venues: `quote.BTC-USD.BEST` of quote.BTC-USD.COINBASE, .KRAKEN, ...

A new one follows the quote that changed it, as soon as the instrument has two venues. At equal prices the larger size
wins, then the venue that was known first. Quotes that may be wrong (MAYBE_BAD_BOOK), that break a rule of validation,
or that are older than `max_age` do not count; a side that nobody offers is undefined.

bid_ct and ask_ct are the publisher_id of the venue that bids and of the one that offers, as in DBN's consolidated
records; publisher_id is that of the side that changed, of the bid where both did. Times are those of the quote that
changed it, and the sizes count what the winner's do.
"""

from libc.stdlib cimport free, realloc
from libc.string cimport memset

from feed.log.sink cimport Sink
from feed.log.through cimport TOOK
from feed.wire.frames cimport TC_FLAG_DOUBTFUL
from feed.wire.records cimport TC_UNDEF_PRICE

import zlib

from feed.errors import LogSpace
from feed.wire.topics import SYMBOL_MAX, Pattern

cdef enum:
    NO_TOPIC = 0xFFFFFFFF
    FLAG_LAST = 128                # DBN
    FLAG_TOB = 64
    FLAG_BAD = 4                   # MAYBE_BAD_BOOK

BEST = "BEST"


cdef class Best(Through):
    """A sink that adds them to what passes. `symbols`: BTC-USD, or BTC* for all that begin so, without their venue.

    :param max_age_ns: of a venue's quote, by ts_recv; 0: any.
    """

    def __init__(self, into: Sink, symbols, *, max_age_ns: int = 0) -> None:
        self._patterns = [Pattern(text) for text in symbols]
        self._groups = {}
        self.max_age_ns = max_age_ns

    def __dealloc__(self):
        free(self.members)
        free(self.groups)

    def topic(self, schema: str, symbol: str) -> int:
        topic_id = self.into.topic(schema, symbol)
        cdef uint32_t at = topic_id
        cdef uint32_t room = self.room
        if at >= room:
            room = 2 * (at + 64)
            self.members = <best_member*>_grown(self.members, room * sizeof(best_member))
            memset(self.members + self.room, 0, (room - self.room) * sizeof(best_member))
            self.room = room
        base, dot, venue = symbol.rpartition(".")
        if schema == "quote" and dot and venue != BEST and not self.members[at].group:
            if any(pattern.matches(base) for pattern in self._patterns):
                self._join(at, base)
        return topic_id

    def _join(self, topic_id: int, base: str) -> None:
        cdef uint32_t index = self._groups.setdefault(base, self.count)
        cdef best_group* group
        if index == self.count:
            if self.count == self.groups_room:
                self.groups_room = 2 * (self.count + 16)
                self.groups = <best_group*>_grown(self.groups, self.groups_room * sizeof(best_group))
            memset(&self.groups[index], 0, sizeof(best_group))
            self.groups[index].topic = NO_TOPIC
            self.count += 1
        group = &self.groups[index]
        if group.count == VENUES_MAX:
            return
        self.members[<uint32_t>topic_id].group = index + 1
        self.members[<uint32_t>topic_id].venue = group.count
        group.count += 1
        if group.count == 2 and len(base) + len(BEST) < SYMBOL_MAX:
            try:
                if self.intake is not None:
                    self.intake.reserve(("quote", f"{base}.{BEST}"))
                number = self.topic("quote", f"{base}.{BEST}")
            except LogSpace:
                return
            group = &self.groups[index]
            group.number = zlib.crc32(f"{base}.{BEST}".encode())
            group.topic = number

    cdef int append(self, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil:
        cdef int took = self.into.append(topic, record, nbytes, ts_in, flags)
        if took == TOOK and self.members[topic].group:
            self.follow(&self.members[topic], <const tc_quote*>record, ts_in, flags)
        return took

    cdef void follow(self, const best_member* member, const tc_quote* quote, uint64_t ts_in, uint16_t flags) noexcept nogil:
        cdef best_group* group = &self.groups[member.group - 1]
        cdef venue_quote* venue = &group.venues[member.venue]
        cdef const venue_quote* each
        cdef const venue_quote* bid = NULL
        cdef const venue_quote* ask = NULL
        cdef tc_quote best
        cdef uint32_t i
        cdef bint bid_changed, ask_changed
        venue.bid_px = quote.bid_px
        venue.ask_px = quote.ask_px
        venue.bid_sz = quote.bid_sz
        venue.ask_sz = quote.ask_sz
        venue.publisher = quote.publisher_id
        venue.ts = quote.ts_recv
        venue.told = True
        venue.doubtful = quote.flags & FLAG_BAD or flags & TC_FLAG_DOUBTFUL
        if group.topic == NO_TOPIC:
            return
        for i in range(group.count):
            each = &group.venues[i]
            if not each.told or each.doubtful:
                continue
            if self.max_age_ns and quote.ts_recv > each.ts and quote.ts_recv - each.ts > self.max_age_ns:
                continue
            if each.bid_px != TC_UNDEF_PRICE and (
                bid == NULL or each.bid_px > bid.bid_px or (each.bid_px == bid.bid_px and each.bid_sz > bid.bid_sz)
            ):
                bid = each
            if each.ask_px != TC_UNDEF_PRICE and (
                ask == NULL or each.ask_px < ask.ask_px or (each.ask_px == ask.ask_px and each.ask_sz > ask.ask_sz)
            ):
                ask = each
        memset(&best, 0, sizeof(best))
        best.bid_px = best.ask_px = TC_UNDEF_PRICE
        if bid != NULL:
            best.bid_px = bid.bid_px
            best.bid_sz = bid.bid_sz
            best.bid_ct = bid.publisher
        if ask != NULL:
            best.ask_px = ask.ask_px
            best.ask_sz = ask.ask_sz
            best.ask_ct = ask.publisher
        bid_changed = best.bid_px != group.bid_px or best.bid_sz != group.bid_sz or best.bid_ct != group.bid_pb
        ask_changed = best.ask_px != group.ask_px or best.ask_sz != group.ask_sz or best.ask_ct != group.ask_pb
        if group.published and not bid_changed and not ask_changed:
            return
        if not group.published and bid == NULL and ask == NULL:
            return
        group.bid_px = best.bid_px
        group.ask_px = best.ask_px
        group.bid_sz = best.bid_sz
        group.ask_sz = best.ask_sz
        group.bid_pb = <uint16_t>best.bid_ct
        group.ask_pb = <uint16_t>best.ask_ct
        best.length = sizeof(best) // 4
        best.rtype = 1
        best.publisher_id = <uint16_t>(best.bid_ct if bid_changed or not group.published else best.ask_ct)
        best.instrument_id = group.number
        best.ts_event = quote.ts_event
        best.ts_recv = quote.ts_recv
        best.ts_in_delta = quote.ts_in_delta
        best.price = TC_UNDEF_PRICE
        best.action = c"M"
        best.side = c"N" if bid_changed == ask_changed else c"B" if bid_changed else c"A"
        best.flags = FLAG_LAST | FLAG_TOB
        best.sequence = quote.sequence
        group.published = True
        if self.into.append(group.topic, &best, sizeof(best), ts_in, 0) == TOOK:
            self.published += 1


cdef void* _grown(void* at, size_t nbytes) except NULL:
    cdef void* larger = realloc(at, nbytes)
    if larger == NULL:
        raise MemoryError
    return larger
