# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""A synthetic market: seeded, and the same to the byte on every machine, for integers are all it computes with.

Each symbol opens (status), then quotes and trades, is halted and resumed now and then, and closes. Its best bid walks
at random on a grid of 0.01 and stays between half and twice its first price; the ask is 1 to 4 steps above. One arrival in
eight is a trade, at the bid, at the ask, or between them. Sequence numbers count quotes and trades of the whole market.
"""

from libc.stdlib cimport calloc, free

from feed.log.through cimport TOOK
from feed.wire.records cimport TC_SCHEMA_QUOTE, TC_SCHEMA_STATUS, TC_SCHEMA_TRADE

from fractions import Fraction

from feed.normalize.activity import alias_table

cdef extern from "feed/normalize/chance.h" nogil:
    uint64_t tc_splitmix64(uint64_t* state) noexcept
    uint64_t tc_xoshiro(uint64_t* state) noexcept
    uint64_t tc_exponential(uint64_t* state) noexcept      # mean 2**32
    uint64_t tc_scaled(uint64_t mean, uint64_t factor) noexcept

cdef enum:
    POISSON
    BURSTY
    FLAT
    OPENING
    TRADING
    CLOSING
    CLOSED

cdef enum:
    FRACTION_BITS = 16
    STEP_PX_RAW = 10_000_000       # 0.01
    SPREAD_MAX = 4                 # steps
    LOT = 100
    FLAG_LAST = 128                # DBN: last record of its event
    ACTION_TRADING = 7             # DBN status actions
    ACTION_HALT = 8
    ACTION_CLOSE = 12
    REASON_SCHEDULED = 1           # DBN status reasons
    REASON_NEWS_PENDING = 30
    REASON_NEWS_RELEASED = 31

# Bursts last 10 ms and make 4.6 times the mean rate, calms last 40 ms and make 0.1 of it: together the mean.
cdef uint64_t BURST_NS = 10_000_000
cdef uint64_t CALM_NS = 40_000_000
cdef uint64_t HALT_NS = 2_000_000_000

NOMINAL_RATE = 10_000_000
"""Ticks/s by which time goes on in a market that is not paced."""
RATES = (0.001, 1e9)
"""The lowest and the highest rate of a market that is paced, ticks/s."""

ARRIVALS = {"poisson": POISSON, "bursty": BURSTY, "flat": FLAT}


cdef class Market:
    """Ticks of many symbols, appended to a sink.

    :param seed: what decides everything, with the other parameters and :meth:`start`'s time.
    :param topics: of each symbol, most active first: ids of its quote, trade and status topics in the sink.
    :param weights: relative activity of each symbol, integers.
    :param rate: ticks/s on average; 0 is as fast as possible: then nothing is ever not due, and time goes on by
        `NOMINAL_RATE`.
    :param arrivals: ``poisson``, ``bursty`` (bursts of 10 ms with calms of 40 ms between them) or ``flat``.
    :param ticks: the market closes so that it made exactly so many records, statuses included; 0: never.
    :param crossed: let one quote in 64 have its bid above its ask.
    :param halts_per_million: halts in a million arrivals; each lasts 2 s on average and ends with an arrival of its
        symbol. Other arrivals of a halted symbol are void.
    """

    def __cinit__(
        self,
        seed: int,
        topics,
        weights,
        *,
        rate: float,
        arrivals: str,
        ticks: int = 0,
        crossed: bool = False,
        halts_per_million: float = 0.0,
    ):
        cdef uint32_t i
        cdef market_symbol* symbol
        self.n = len(topics)
        self.symbols = <market_symbol*>calloc(self.n, sizeof(market_symbol))
        self.thresholds = <uint64_t*>calloc(self.n, sizeof(uint64_t))
        self.aliases = <uint32_t*>calloc(self.n, sizeof(uint32_t))
        if self.symbols is NULL or self.thresholds is NULL or self.aliases is NULL:
            raise MemoryError
        cdef uint64_t mixed = seed
        for i in range(4):
            self.random[i] = tc_splitmix64(&mixed)
        thresholds, aliases = alias_table(weights)
        for i in range(self.n):
            self.thresholds[i] = thresholds[i]
            self.aliases[i] = aliases[i]
            symbol = &self.symbols[i]
            symbol.bid = 500 + <int64_t>(tc_xoshiro(self.random) % 49_500)
            symbol.low = symbol.bid // 2
            symbol.high = symbol.bid * 2
            symbol.spread = 1
            symbol.sizes[0] = symbol.sizes[1] = LOT
            symbol.orders[0] = symbol.orders[1] = 1
            symbol.quote_topic, symbol.trade_topic, symbol.status_topic = topics[i]
        self.paced = rate > 0
        self.arrivals = ARRIVALS[arrivals]
        self.interval = int(Fraction(10**9) * 2**FRACTION_BITS / Fraction(rate or NOMINAL_RATE))
        self.crossed = crossed
        self.halt_every = int(1_000_000 / Fraction(halts_per_million)) if halts_per_million else 0
        self.halt_in = self.halt_every
        # half of few ticks open, the other half closes the same symbols
        self.closes = min(self.n, ticks // 2)
        self.opens = min(self.n, ticks - self.closes) if ticks else self.n
        self.quota = ticks - self.opens - self.closes if ticks else 0xFFFFFFFFFFFFFFFF
        self.phase = OPENING
        self.quote.length = sizeof(tc_quote) // 4
        self.quote.rtype = 1
        self.trade.length = sizeof(tc_trade) // 4
        self.trade.rtype = 0
        self.status.length = sizeof(tc_status) // 4
        self.status.rtype = 18
        self.quote.flags = self.trade.flags = FLAG_LAST
        self.trade.action = c'T'
        self.status.is_short_sell_restricted = c'~'

    def __dealloc__(self):
        free(self.symbols)
        free(self.thresholds)
        free(self.aliases)

    def start(self, ns: int) -> None:
        """The market opens at `ns` since 1970. Before anything is poured."""
        self.next_ns = self.switch_ns = ns
        self.busy = False

    def pour(self, Sink sink, limit: int, now_ns: int) -> int:
        """Append the ticks due at `now_ns`, at most `limit`, and flush. Returns how many."""
        cdef int64_t n, most = limit
        cdef uint64_t now = now_ns
        with nogil:
            n = self.generate(sink, most, now)
            if n:
                sink.flush()
        return n

    @property
    def due_ns(self) -> int:
        """When the next arrival is due, ns since 1970; 0: at once."""
        return self.next_ns if self.paced and not self.held else 0

    @property
    def full(self) -> bool:
        """The sink had no room for a tick, which waits."""
        return self.held

    @property
    def finished(self) -> bool:
        """All symbols have closed, and every tick is in the sink."""
        return self.phase == CLOSED and not self.held

    def take_ticks(self) -> list[tuple[int, int]]:
        """(schema id, records appended since the last call), schemas without any left away."""
        taken = []
        cdef int i
        for i in range(TC_SCHEMA_END):
            if self.ticks[i]:
                taken.append((i, self.ticks[i]))
                self.ticks[i] = 0
        return taken

    # --- the loop ---------------------------------------------------------------------------------------------------

    cdef int64_t generate(self, Sink sink, int64_t limit, uint64_t now_ns) noexcept nogil:
        cdef int64_t n = 0, turn
        for turn in range(limit):      # void arrivals are turns too, so that this ends
            if not self.held:
                if self.phase == CLOSED or (self.paced and self.next_ns > now_ns):
                    break
                if not self._make():
                    continue
            if not self._deliver(sink):
                break
            n += 1
        return n

    cdef bint _deliver(self, Sink sink) noexcept nogil:
        cdef int taken
        if self.made == TC_SCHEMA_QUOTE:
            taken = sink.append(self.made_topic, &self.quote, sizeof(tc_quote), 0, 0)
        elif self.made == TC_SCHEMA_TRADE:
            taken = sink.append(self.made_topic, &self.trade, sizeof(tc_trade), 0, 0)
        else:
            taken = sink.append(self.made_topic, &self.status, sizeof(tc_status), 0, 0)
        self.held = not taken
        self.ticks[self.made] += taken == TOOK
        return taken != 0

    cdef bint _make(self) noexcept nogil:
        """The next tick. False: the arrival was void."""
        cdef uint64_t bits, ts
        cdef uint32_t i
        cdef market_symbol* symbol
        if self.phase == OPENING:
            self._make_status(self.at, ACTION_TRADING, REASON_SCHEDULED, c'Y')
            self.at += 1
            if self.at == self.opens:
                self.at = 0
                self.phase = TRADING if self.quota else CLOSING if self.closes else CLOSED
                self._arrive()
            return True
        if self.phase == CLOSING:
            self._make_status(self.at, ACTION_CLOSE, REASON_SCHEDULED, c'N')
            self.at += 1
            if self.at == self.closes:
                self.phase = CLOSED
            return True

        bits = tc_xoshiro(self.random)
        i = <uint32_t>(((bits >> 32) * self.n) >> 32)
        if <uint32_t>bits >= self.thresholds[i]:
            i = self.aliases[i]
        symbol = &self.symbols[i]
        ts = self.next_ns
        if symbol.halted_until:
            if ts < symbol.halted_until:
                self._arrive()
                return False
            symbol.halted_until = 0
            self._make_status(i, ACTION_TRADING, REASON_NEWS_RELEASED, c'Y')
        elif self.halt_every and self.halt_in == 0:
            self.halt_in = tc_scaled(self.halt_every, tc_exponential(self.random))
            symbol.halted_until = ts + 1 + tc_scaled(HALT_NS, tc_exponential(self.random))
            self._make_status(i, ACTION_HALT, REASON_NEWS_PENDING, c'N')
        else:
            self.halt_in -= self.halt_every != 0
            bits = tc_xoshiro(self.random)
            if bits & 7:
                self.quote.instrument_id = i + 1
                self._make_quote(symbol, bits)
            else:
                self.trade.instrument_id = i + 1
                self._make_trade(symbol, bits)
        self._arrive()
        self.quota -= 1
        if self.quota == 0:
            self.phase = CLOSING if self.closes else CLOSED
        return True

    cdef void _make_quote(self, market_symbol* symbol, uint64_t bits) noexcept nogil:
        """One side changes: in two of eight its price too."""
        cdef int side = (bits >> 3) & 1           # 0 bid, 1 ask
        cdef int move = (bits >> 4) & 7
        cdef uint32_t size = LOT * (1 + ((bits >> 7) & 31)), before = symbol.sizes[side]
        if move < 2:
            if symbol.bid <= symbol.low:
                move = 0
            elif symbol.bid >= symbol.high:
                move = 1
            if move == 0 and side == 0:           # the bid rises, the ask with it where there is no room
                symbol.bid += 1
                symbol.spread -= symbol.spread > 1
            elif move == 0:                       # the ask rises
                if symbol.spread < SPREAD_MAX:
                    symbol.spread += 1
                else:
                    symbol.bid += 1
            elif side == 0:                       # the bid falls
                symbol.bid -= 1
                symbol.spread += symbol.spread < SPREAD_MAX
            elif symbol.spread > 1:               # the ask falls
                symbol.spread -= 1
            else:
                symbol.bid -= 1
            before = 0
        symbol.sizes[side] = size
        symbol.orders[side] = 1 + ((bits >> 12) & 7)
        cdef tc_quote* quote = &self.quote
        quote.bid_px = symbol.bid * STEP_PX_RAW
        quote.ask_px = quote.bid_px + <int64_t>symbol.spread * STEP_PX_RAW
        quote.bid_sz = symbol.sizes[0]
        quote.ask_sz = symbol.sizes[1]
        quote.bid_ct = symbol.orders[0]
        quote.ask_ct = symbol.orders[1]
        quote.side = c'A' if side else c'B'
        quote.price = quote.ask_px if side else quote.bid_px
        quote.action = c'A' if size > before else c'C' if size < before else c'M'
        quote.size = size - before if size > before else before - size
        if self.crossed and ((bits >> 24) & 63) == 0:
            quote.bid_px = quote.ask_px + STEP_PX_RAW
        quote.ts_event = quote.ts_recv = self.next_ns
        self.sequence += 1
        quote.sequence = self.sequence
        self.made = TC_SCHEMA_QUOTE
        self.made_topic = symbol.quote_topic

    cdef void _make_trade(self, market_symbol* symbol, uint64_t bits) noexcept nogil:
        """An aggressor takes some of what stands at the other side, or meets somebody between."""
        cdef int taken = (bits >> 3) & 1          # the side that is hit: 0 bid, 1 ask
        cdef int64_t px = symbol.bid + (<int64_t>symbol.spread if taken else 0)
        cdef uint32_t size = 1 + ((bits >> 17) & 127)
        if symbol.spread > 1 and ((bits >> 15) & 3) == 0:
            px = symbol.bid + 1 + <int64_t>((bits >> 32) % (symbol.spread - 1))
        else:
            size = min(size, symbol.sizes[taken])
            symbol.sizes[taken] -= size
            if symbol.sizes[taken] == 0:
                symbol.sizes[taken] = LOT
        self.trade.price = px * STEP_PX_RAW
        self.trade.size = size
        self.trade.side = c'B' if taken else c'A'
        self.trade.ts_event = self.trade.ts_recv = self.next_ns
        self.sequence += 1
        self.trade.sequence = self.sequence
        self.made = TC_SCHEMA_TRADE
        self.made_topic = symbol.trade_topic

    cdef void _make_status(self, uint32_t i, int action, int reason, char trades) noexcept nogil:
        self.status.instrument_id = i + 1
        self.status.ts_event = self.status.ts_recv = self.next_ns
        self.status.action = action
        self.status.reason = reason
        self.status.is_trading = self.status.is_quoting = trades
        self.made = TC_SCHEMA_STATUS
        self.made_topic = self.symbols[i].status_topic

    cdef void _arrive(self) noexcept nogil:
        """Move on to the time of the next arrival."""
        cdef uint64_t step = self.interval
        if self.arrivals == POISSON:
            step = tc_scaled(step, tc_exponential(self.random))
        elif self.arrivals == BURSTY:
            while True:
                step = self.interval // 23 * 5 if self.busy else self.interval * 10
                step = tc_scaled(step, tc_exponential(self.random))
                if self.next_ns + (step >> FRACTION_BITS) <= self.switch_ns:
                    break
                # an exponential wait has no memory: it begins anew where the rate changes
                self.next_ns = self.switch_ns
                self.busy = not self.busy
                self.switch_ns += tc_scaled(BURST_NS if self.busy else CALM_NS, tc_exponential(self.random))
        self.fraction += step & ((1 << FRACTION_BITS) - 1)
        self.next_ns += (step >> FRACTION_BITS) + (self.fraction >> FRACTION_BITS)
        self.fraction &= (1 << FRACTION_BITS) - 1
