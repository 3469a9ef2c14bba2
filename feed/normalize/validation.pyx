# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Rules that a record must keep on its way from any source into the log; each may be looked at or not.

off_tick        a price is no multiple of the instrument's tick
off_band        a price is beyond the instrument's limits, or further than `band` from the topic's last one. A price that
                the next one confirms is where the market now is: only the first of a new level is refused
size_zero       a trade, an order that is added, or a level of a book has no size
size_absurd     a size is above `size_max`
crossed locked  the best bid is above, or at, the best ask
time_future     ts_event is more than `ahead` after ts_in
time_old        ts_event is more than `behind` before ts_in; not in snapshots
sequence_back   the venue's number is below the topic's last one and the venue's time no minute later: then the numbers
                begin anew
duplicate       one of the topic's last eight records was the same in all but when it was received

Prices and sizes are those of trades, quotes, bbos, books and orders. Tick and limits of an instrument are what know() or
the last `definition` record of its symbol says. The record itself is never changed: what breaks a rule is left out, or
its frame is flagged as doubtful.
"""

from libc.math cimport fabs
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from feed.clock cimport wall_ns
from feed.log.sink cimport Sink
from feed.log.through cimport LEFT_OUT
from feed.wire.frames cimport TC_FLAG_DOUBTFUL
from feed.wire.records cimport (
    TC_BOOK_LEVELS,
    TC_SCHEMA_BBO,
    TC_SCHEMA_BOOK,
    TC_SCHEMA_DEFINITION,
    TC_SCHEMA_ORDER,
    TC_SCHEMA_QUOTE,
    TC_SCHEMA_TRADE,
    TC_UNDEF_ORDER_SIZE,
    TC_UNDEF_PRICE,
    TC_UNDEF_TIMESTAMP,
    tc_bbo,
    tc_book,
    tc_definition,
    tc_order,
    tc_quote,
    tc_record_header,
    tc_trade,
)

from feed.wire.records import BY_WORD

cdef enum:
    CLOCK_EVERY = 64               # appends that share a clock read
    DBN_SNAPSHOT = 32
    BY_PRICE = 1 << OFF_TICK | 1 << OFF_BAND
    BY_SIZE = 1 << SIZE_ZERO | 1 << SIZE_ABSURD
    BY_TIME = 1 << TIME_FUTURE | 1 << TIME_OLD

cdef uint64_t RENUMBERED_NS = 60_000_000_000

RULES = (
    "off_tick",
    "off_band",
    "size_zero",
    "size_absurd",
    "crossed",
    "locked",
    "time_future",
    "time_old",
    "sequence_back",
    "duplicate",
)
assert len(RULES) == RULES_END


cdef class Validator(Through):
    """A sink that holds what passes against the rules.

    :param actions: rule to ``drop`` or ``flag``; rules that are not named are not looked at.
    :param band: how far a price may be from the last one, as a share of it; 0: as far as it likes.
    """

    def __init__(
        self,
        into: Sink,
        actions,
        *,
        band: float = 0.0,
        size_max: int = 0xFFFFFFFF,
        ahead_ns: int = 1_000_000_000,
        behind_ns: int = 60_000_000_000,
    ) -> None:
        for rule, action in actions.items():
            if action == "drop":
                self.drops |= 1 << <int>RULES.index(rule)
            elif action == "flag":
                self.flags |= 1 << <int>RULES.index(rule)
        self.looks = self.drops | self.flags
        self.band = band
        self.size_max = size_max
        self.ahead_ns = ahead_ns
        self.behind_ns = behind_ns
        self._by_symbol = {}

    def __dealloc__(self):
        free(self.topics)
        free(self.instruments)

    def topic(self, schema: str, symbol: str) -> int:
        topic_id = self.into.topic(schema, symbol)
        cdef uint32_t at = topic_id
        cdef uint32_t room = self.room
        if at >= room:
            room = 2 * (at + 64)
            self.topics = <checked_topic*>_grown(self.topics, room * sizeof(checked_topic))
            memset(self.topics + self.room, 0, (room - self.room) * sizeof(checked_topic))
            self.room = room
        self.topics[at].schema = BY_WORD[schema].id
        self.topics[at].instrument = self._instrument(symbol)
        return topic_id

    def know(self, symbol: str, tick: int, low: int | None, high: int | None) -> None:
        """What is known of an instrument, in 1e-9: its tick (0: nothing), and limits of its price, or None."""
        cdef checked_instrument* instrument = &self.instruments[<uint32_t>self._instrument(symbol)]
        instrument.tick = tick
        instrument.low = INT64_MIN if low is None else low
        instrument.high = INT64_MAX if high is None else high

    def take_broken(self) -> list[tuple[str, int, int]]:
        """(rule, records left out, records flagged) since the last call, rules that all kept left away."""
        taken = []
        cdef int rule
        for rule in range(RULES_END):
            if self.dropped[rule] or self.flagged[rule]:
                taken.append((RULES[rule], self.dropped[rule], self.flagged[rule]))
                self.dropped[rule] = self.flagged[rule] = 0
        self.broken = False
        return taken

    def _instrument(self, symbol: str) -> int:
        found = self._by_symbol.get(symbol)
        if found is not None:
            return found
        if self.known == self.instruments_room:
            self.instruments_room = 2 * (self.known + 64)
            self.instruments = <checked_instrument*>_grown(
                self.instruments, self.instruments_room * sizeof(checked_instrument)
            )
        self.instruments[self.known].tick = 0
        self.instruments[self.known].low = INT64_MIN
        self.instruments[self.known].high = INT64_MAX
        self._by_symbol[symbol] = self.known
        self.known += 1
        return self.known - 1

    cdef int append(self, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil:
        cdef checked_topic* checked = &self.topics[topic]
        cdef uint64_t seen = 0
        cdef double price = 0
        cdef uint32_t broken = self.look(checked, record, ts_in, &seen, &price) & self.looks
        cdef int rule, took
        if broken & self.drops:
            rule = _first(broken & self.drops)
            self.dropped[rule] += 1
            self.broken = True
            self.note(checked, record, broken, seen, price)
            return LEFT_OUT
        if broken:
            flags |= TC_FLAG_DOUBTFUL
        took = self.into.append(topic, record, nbytes, ts_in, flags)
        if took == 0:  # it comes once more
            return 0
        if broken:
            self.flagged[_first(broken)] += 1
            self.broken = True
        self.note(checked, record, broken, seen, price)
        return took

    cdef void flush(self) noexcept nogil:
        self.stamped = 0
        self.into.flush()

    # --- rules ------------------------------------------------------------------------------------------------------

    cdef uint32_t look(self, const checked_topic* topic, const void* record, uint64_t ts_in, uint64_t* seen, double* price) noexcept nogil:
        """The rules that it breaks; `seen` and `price` are for note(). Changes nothing."""
        cdef const tc_trade* trade = <const tc_trade*>record
        cdef const tc_order* order = <const tc_order*>record
        cdef uint32_t broken = 0, sequence
        cdef uint8_t dbn_flags
        cdef uint64_t ts_event = (<const tc_record_header*>record).ts_event
        if topic.schema == TC_SCHEMA_TRADE:
            dbn_flags = trade.flags
            sequence = trade.sequence
            if trade.action == b"T":  # else a word about an earlier one
                broken |= self._price(topic, trade.price) | self._size(trade.size)
                price[0] = <double>trade.price if trade.price != TC_UNDEF_PRICE else 0
        elif topic.schema == TC_SCHEMA_QUOTE:
            dbn_flags = trade.flags
            sequence = trade.sequence
            broken |= self._levels(topic, <const tc_level*>&(<const tc_quote*>record).bid_px, 1, price)
        elif topic.schema == TC_SCHEMA_BBO:
            dbn_flags = trade.flags
            sequence = trade.sequence
            broken |= self._levels(topic, <const tc_level*>&(<const tc_bbo*>record).bid_px, 1, price)
        elif topic.schema == TC_SCHEMA_BOOK:
            dbn_flags = trade.flags
            sequence = trade.sequence
            broken |= self._levels(topic, &(<const tc_book*>record).levels[0], TC_BOOK_LEVELS, price)
        elif topic.schema == TC_SCHEMA_ORDER:
            dbn_flags = order.flags
            sequence = order.sequence
            if order.action == b"A" or order.action == b"M":
                broken |= self._price(topic, order.price) | self._size(order.size)
        else:
            return self._times(topic, ts_event, ts_in) & ~<uint32_t>(1 << TIME_OLD)
        if self.band > 0 and price[0] != 0 and topic.price != 0 and self.looks & 1 << OFF_BAND:
            if fabs(price[0] - topic.price) > self.band * fabs(topic.price) and (
                topic.astray == 0 or fabs(price[0] - topic.astray) > self.band * fabs(topic.astray)
            ):
                broken |= 1 << OFF_BAND
        if self.looks & BY_TIME:
            broken |= self._times(topic, ts_event, ts_in)
        if not dbn_flags & DBN_SNAPSHOT:
            broken |= self._number(topic, sequence, ts_event)
        else:
            broken &= ~<uint32_t>(1 << TIME_OLD)
        if self.looks & 1 << DUPLICATE:
            seen[0] = _hashed(record, topic.schema)
            broken |= _repeats(topic, seen[0])
        return broken

    cdef void note(self, checked_topic* topic, const void* record, uint32_t broken, uint64_t seen, double price) noexcept nogil:
        """Remember a record that is dealt with."""
        cdef uint32_t sequence
        cdef const tc_definition* definition
        cdef checked_instrument* instrument
        if topic.schema == TC_SCHEMA_DEFINITION:
            definition = <const tc_definition*>record
            instrument = &self.instruments[topic.instrument]
            if 0 < definition.min_price_increment < TC_UNDEF_PRICE:
                instrument.tick = definition.min_price_increment
            if definition.low_limit_price != TC_UNDEF_PRICE and definition.low_limit_price < definition.high_limit_price:
                instrument.low = definition.low_limit_price
                instrument.high = definition.high_limit_price
            return
        if price != 0:
            if broken & 1 << OFF_BAND:
                topic.astray = price
            else:
                topic.price = price
                topic.astray = 0
        if topic.schema == TC_SCHEMA_ORDER:
            sequence = (<const tc_order*>record).sequence
        elif topic.schema <= TC_SCHEMA_BOOK:
            sequence = (<const tc_trade*>record).sequence
        else:
            return
        if sequence and not broken & 1 << SEQUENCE_BACK:
            topic.sequence = sequence
            topic.sequence_ts = (<const tc_record_header*>record).ts_event
            topic.numbered = True
        if self.looks & 1 << DUPLICATE:
            topic.seen[topic.seen_at] = seen
            topic.seen_at = (topic.seen_at + 1) % SEEN

    cdef uint32_t _price(self, const checked_topic* topic, int64_t price) noexcept nogil:
        cdef const checked_instrument* instrument = &self.instruments[topic.instrument]
        cdef uint32_t broken = 0
        if price == TC_UNDEF_PRICE or not self.looks & BY_PRICE:
            return 0
        if instrument.tick and price % instrument.tick:
            broken |= 1 << OFF_TICK
        if price < instrument.low or price > instrument.high:
            broken |= 1 << OFF_BAND
        return broken

    cdef uint32_t _size(self, uint32_t size) noexcept nogil:
        if size == 0:
            return 1 << SIZE_ZERO
        return 1 << SIZE_ABSURD if size > self.size_max and size != TC_UNDEF_ORDER_SIZE else 0

    cdef uint32_t _levels(self, const checked_topic* topic, const tc_level* levels, int n, double* price) noexcept nogil:
        cdef int i
        cdef uint32_t broken = 0
        cdef bint bid = levels[0].bid_px != TC_UNDEF_PRICE, ask = levels[0].ask_px != TC_UNDEF_PRICE
        if bid and ask:
            price[0] = 0.5 * (<double>levels[0].bid_px + <double>levels[0].ask_px)
            if levels[0].bid_px > levels[0].ask_px:
                broken = 1 << CROSSED
            elif levels[0].bid_px == levels[0].ask_px:
                broken = 1 << LOCKED
        if not self.looks & (BY_PRICE | BY_SIZE):
            return broken
        for i in range(n):
            if levels[i].bid_px != TC_UNDEF_PRICE and (levels[i].bid_px or levels[i].bid_sz):
                broken |= self._price(topic, levels[i].bid_px) | self._size(levels[i].bid_sz)
            if levels[i].ask_px != TC_UNDEF_PRICE and (levels[i].ask_px or levels[i].ask_sz):
                broken |= self._price(topic, levels[i].ask_px) | self._size(levels[i].ask_sz)
        return broken

    cdef uint32_t _times(self, const checked_topic* topic, uint64_t ts_event, uint64_t ts_in) noexcept nogil:
        cdef int64_t late
        if ts_event == TC_UNDEF_TIMESTAMP or ts_event == 0:
            return 0
        if ts_in == 0:
            if self.stamped == 0:
                self.now = wall_ns()
                self.stamped = CLOCK_EVERY
            self.stamped -= 1
            ts_in = self.now
        late = <int64_t>(ts_in - ts_event)
        if -late > self.ahead_ns:
            return 1 << TIME_FUTURE
        return 1 << TIME_OLD if late > self.behind_ns else 0

    cdef uint32_t _number(self, const checked_topic* topic, uint32_t sequence, uint64_t ts_event) noexcept nogil:
        """Numbers may pass 2^32 and go on at 0."""
        if sequence == 0 or not topic.numbered or <int32_t>(sequence - topic.sequence) >= 0:
            return 0
        if ts_event > topic.sequence_ts and ts_event - topic.sequence_ts > RENUMBERED_NS:
            return 0
        return 1 << SEQUENCE_BACK


cdef int _first(uint32_t rules) noexcept nogil:
    cdef int rule = 0
    while not rules & 1 << rule:
        rule += 1
    return rule


cdef uint32_t _repeats(const checked_topic* topic, uint64_t seen) noexcept nogil:
    cdef int i
    for i in range(SEEN):
        if topic.seen[i] == seen:
            return 1 << DUPLICATE
    return 0


cdef uint64_t _hashed(const void* record, uint16_t schema) noexcept nogil:
    """Of all its words but those that say when it was received; never 0."""
    cdef const uint64_t* words = <const uint64_t*>record
    cdef uint32_t n = (<const tc_record_header*>record).length // 2
    cdef uint32_t i, received = 5 if schema == TC_SCHEMA_ORDER else 4   # ts_recv; the next word is ts_in_delta, sequence
    cdef uint64_t word, hashed = 0x9E3779B97F4A7C15ULL
    for i in range(n):
        if i == received:
            continue
        word = words[i] if i != received + 1 else words[i] >> 32
        hashed = (hashed ^ word) * 0xFF51AFD7ED558CCDULL
        hashed ^= hashed >> 32
    return hashed | 1


cdef void* _grown(void* at, size_t nbytes) except NULL:
    cdef void* larger = realloc(at, nbytes)
    if larger == NULL:
        raise MemoryError
    return larger
