# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Ticks as objects: a copy of the record with its place in the stream; a field is decoded when it is read.

Field names are DBN's. A price reads as float (NaN where undefined) and, with `_raw` behind its name, as int in units of
1e-9. One name differs, for the tick itself has `flags`: the record's are `dbn_flags`. Sizes and times are ints as in
the record (an undefined time is 2^64-1), characters are str. Units of each field: feed/wire/records.h.

One property per field is long, but it is what editors complete and what reads in 30 ns.
"""

from libc.math cimport NAN
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from feed.wire.records cimport (
    TC_BOOK_LEVELS,
    TC_SCHEMA_BAR1D,
    TC_SCHEMA_BAR1S,
    TC_SCHEMA_BBO,
    TC_SCHEMA_BOOK,
    TC_SCHEMA_DEFINITION,
    TC_SCHEMA_IMBALANCE,
    TC_SCHEMA_ORDER,
    TC_SCHEMA_QUOTE,
    TC_SCHEMA_STAT,
    TC_SCHEMA_STATUS,
    TC_SCHEMA_TRADE,
    TC_UNDEF_PRICE,
    tc_level,
    tc_record_header,
    tc_schema_word,
)

from typing import NamedTuple

from feed.wire.records import BY_WORD


class Level(NamedTuple):
    """One level of a book; prices NaN where there is none."""

    bid_px: float
    ask_px: float
    bid_sz: int
    ask_sz: int
    bid_ct: int
    ask_ct: int


cdef tc_record_header _nothing      # what a tick that nobody filled decodes


cdef class Tick:
    """What every tick has. `flags`: 1 snapshot, 2 replayed, 4 conflated, 8 loss before this one, 16 doubtful (it breaks a
    rule of the feed's validation). `folded`: how many earlier ticks of its topic a conflated one stands for.

    Times are ns since 1970: `ts_event` at the venue, `ts_recv` at the capture, `ts_in` when the feed first had it,
    `ts_sent` when it was handed to the transport (shm: committed), `ts_bot` when it was handed to the bot.
    """

    def __cinit__(self):
        self.symbol = ""
        self.body = <uint8_t*>&_nothing
        self.record_bytes = sizeof(tc_record_header)

    @property
    def schema(self) -> str:
        cdef const char* word = tc_schema_word(self.schema_id)
        return "" if word == NULL else word.decode()

    @property
    def topic(self) -> str:
        return f"{self.schema}.{self.symbol}"

    @property
    def record(self) -> bytes:
        """A copy of the DBN record."""
        return (<const char*>self.body)[: self.record_bytes]

    @property
    def ts_event(self) -> int:
        return (<tc_record_header*>self.body).ts_event

    @property
    def rtype(self) -> int:
        return (<tc_record_header*>self.body).rtype

    @property
    def publisher_id(self) -> int:
        return (<tc_record_header*>self.body).publisher_id

    @property
    def instrument_id(self) -> int:
        return (<tc_record_header*>self.body).instrument_id

    def __repr__(self) -> str:
        shown = " ".join(f"{name}={getattr(self, name)}" for name in _SHOWN.get(type(self).__name__, ()))
        return f"<{type(self).__name__} {self.topic} {shown} seq={self.seq} topic_seq={self.topic_seq}>"


cdef class Trade(Tick):
    """One trade; `side` is the aggressor's."""

    def __cinit__(self):
        self.body = <uint8_t*>&self.r
        self.record_bytes = sizeof(self.r)

    @property
    def price(self) -> float:
        return as_float(self.r.price)

    @property
    def price_raw(self) -> int:
        return self.r.price

    @property
    def size(self) -> int:
        return self.r.size

    @property
    def action(self) -> str:
        return chr(<unsigned char>self.r.action)

    @property
    def side(self) -> str:
        return chr(<unsigned char>self.r.side)

    @property
    def dbn_flags(self) -> int:
        return self.r.flags

    @property
    def depth(self) -> int:
        return self.r.depth

    @property
    def ts_recv(self) -> int:
        return self.r.ts_recv

    @property
    def ts_in_delta(self) -> int:
        return self.r.ts_in_delta

    @property
    def sequence(self) -> int:
        return self.r.sequence


cdef class Quote(Tick):
    """Best bid and offer, and the event that made them so."""

    def __cinit__(self):
        self.body = <uint8_t*>&self.r
        self.record_bytes = sizeof(self.r)

    @property
    def bid_px(self) -> float:
        return as_float(self.r.bid_px)

    @property
    def bid_px_raw(self) -> int:
        return self.r.bid_px

    @property
    def ask_px(self) -> float:
        return as_float(self.r.ask_px)

    @property
    def ask_px_raw(self) -> int:
        return self.r.ask_px

    @property
    def price(self) -> float:
        return as_float(self.r.price)

    @property
    def price_raw(self) -> int:
        return self.r.price

    @property
    def bid_sz(self) -> int:
        return self.r.bid_sz

    @property
    def ask_sz(self) -> int:
        return self.r.ask_sz

    @property
    def bid_ct(self) -> int:
        return self.r.bid_ct

    @property
    def ask_ct(self) -> int:
        return self.r.ask_ct

    @property
    def size(self) -> int:
        return self.r.size

    @property
    def action(self) -> str:
        return chr(<unsigned char>self.r.action)

    @property
    def side(self) -> str:
        return chr(<unsigned char>self.r.side)

    @property
    def dbn_flags(self) -> int:
        return self.r.flags

    @property
    def depth(self) -> int:
        return self.r.depth

    @property
    def ts_recv(self) -> int:
        return self.r.ts_recv

    @property
    def ts_in_delta(self) -> int:
        return self.r.ts_in_delta

    @property
    def sequence(self) -> int:
        return self.r.sequence


cdef class Bbo(Tick):
    """Best bid and offer at the end of an interval, `ts_recv`; `price`, `size` and `side` are the last trade's."""

    def __cinit__(self):
        self.body = <uint8_t*>&self.r
        self.record_bytes = sizeof(self.r)

    @property
    def bid_px(self) -> float:
        return as_float(self.r.bid_px)

    @property
    def bid_px_raw(self) -> int:
        return self.r.bid_px

    @property
    def ask_px(self) -> float:
        return as_float(self.r.ask_px)

    @property
    def ask_px_raw(self) -> int:
        return self.r.ask_px

    @property
    def price(self) -> float:
        return as_float(self.r.price)

    @property
    def price_raw(self) -> int:
        return self.r.price

    @property
    def bid_sz(self) -> int:
        return self.r.bid_sz

    @property
    def ask_sz(self) -> int:
        return self.r.ask_sz

    @property
    def bid_ct(self) -> int:
        return self.r.bid_ct

    @property
    def ask_ct(self) -> int:
        return self.r.ask_ct

    @property
    def size(self) -> int:
        return self.r.size

    @property
    def side(self) -> str:
        return chr(<unsigned char>self.r.side)

    @property
    def dbn_flags(self) -> int:
        return self.r.flags

    @property
    def ts_recv(self) -> int:
        return self.r.ts_recv

    @property
    def sequence(self) -> int:
        return self.r.sequence


cdef class Book(Tick):
    """Ten levels of each side. `bid_px` to `ask_ct` are the best level's."""

    def __cinit__(self):
        self.body = <uint8_t*>&self.r
        self.record_bytes = sizeof(self.r)

    @property
    def levels(self) -> list[Level]:
        """All ten, best first."""
        cdef int i
        return [_level(&self.r.levels[i]) for i in range(TC_BOOK_LEVELS)]

    @property
    def bids(self) -> list[tuple[float, int]]:
        """(price, size) of the levels that there are, best first."""
        cdef int i
        return [
            (as_float(self.r.levels[i].bid_px), self.r.levels[i].bid_sz)
            for i in range(TC_BOOK_LEVELS)
            if self.r.levels[i].bid_px != TC_UNDEF_PRICE
        ]

    @property
    def asks(self) -> list[tuple[float, int]]:
        """(price, size) of the levels that there are, best first."""
        cdef int i
        return [
            (as_float(self.r.levels[i].ask_px), self.r.levels[i].ask_sz)
            for i in range(TC_BOOK_LEVELS)
            if self.r.levels[i].ask_px != TC_UNDEF_PRICE
        ]

    @property
    def bid_px(self) -> float:
        return as_float(self.r.levels[0].bid_px)

    @property
    def bid_px_raw(self) -> int:
        return self.r.levels[0].bid_px

    @property
    def ask_px(self) -> float:
        return as_float(self.r.levels[0].ask_px)

    @property
    def ask_px_raw(self) -> int:
        return self.r.levels[0].ask_px

    @property
    def bid_sz(self) -> int:
        return self.r.levels[0].bid_sz

    @property
    def ask_sz(self) -> int:
        return self.r.levels[0].ask_sz

    @property
    def bid_ct(self) -> int:
        return self.r.levels[0].bid_ct

    @property
    def ask_ct(self) -> int:
        return self.r.levels[0].ask_ct

    @property
    def price(self) -> float:
        return as_float(self.r.price)

    @property
    def price_raw(self) -> int:
        return self.r.price

    @property
    def size(self) -> int:
        return self.r.size

    @property
    def action(self) -> str:
        return chr(<unsigned char>self.r.action)

    @property
    def side(self) -> str:
        return chr(<unsigned char>self.r.side)

    @property
    def dbn_flags(self) -> int:
        return self.r.flags

    @property
    def depth(self) -> int:
        return self.r.depth

    @property
    def ts_recv(self) -> int:
        return self.r.ts_recv

    @property
    def ts_in_delta(self) -> int:
        return self.r.ts_in_delta

    @property
    def sequence(self) -> int:
        return self.r.sequence


cdef class Order(Tick):
    """One order added, changed, cancelled or filled."""

    def __cinit__(self):
        self.body = <uint8_t*>&self.r
        self.record_bytes = sizeof(self.r)

    @property
    def price(self) -> float:
        return as_float(self.r.price)

    @property
    def price_raw(self) -> int:
        return self.r.price

    @property
    def order_id(self) -> int:
        return self.r.order_id

    @property
    def size(self) -> int:
        return self.r.size

    @property
    def dbn_flags(self) -> int:
        return self.r.flags

    @property
    def channel_id(self) -> int:
        return self.r.channel_id

    @property
    def action(self) -> str:
        return chr(<unsigned char>self.r.action)

    @property
    def side(self) -> str:
        return chr(<unsigned char>self.r.side)

    @property
    def ts_recv(self) -> int:
        return self.r.ts_recv

    @property
    def ts_in_delta(self) -> int:
        return self.r.ts_in_delta

    @property
    def sequence(self) -> int:
        return self.r.sequence


cdef class Bar(Tick):
    """Open, high, low, close, volume of an interval that began at `ts_event`. No ts_recv in DBN: it is `ts_in`."""

    def __cinit__(self):
        self.body = <uint8_t*>&self.r
        self.record_bytes = sizeof(self.r)

    @property
    def open(self) -> float:
        return as_float(self.r.open)

    @property
    def open_raw(self) -> int:
        return self.r.open

    @property
    def high(self) -> float:
        return as_float(self.r.high)

    @property
    def high_raw(self) -> int:
        return self.r.high

    @property
    def low(self) -> float:
        return as_float(self.r.low)

    @property
    def low_raw(self) -> int:
        return self.r.low

    @property
    def close(self) -> float:
        return as_float(self.r.close)

    @property
    def close_raw(self) -> int:
        return self.r.close

    @property
    def volume(self) -> int:
        return self.r.volume

    @property
    def ts_recv(self) -> int:
        return self.ts_in


cdef class Status(Tick):
    """Trading status of an instrument; codes as in DBN's StatusMsg."""

    def __cinit__(self):
        self.body = <uint8_t*>&self.r
        self.record_bytes = sizeof(self.r)

    @property
    def ts_recv(self) -> int:
        return self.r.ts_recv

    @property
    def action(self) -> int:
        return self.r.action

    @property
    def reason(self) -> int:
        return self.r.reason

    @property
    def trading_event(self) -> int:
        return self.r.trading_event

    @property
    def is_trading(self) -> str:
        return chr(<unsigned char>self.r.is_trading)

    @property
    def is_quoting(self) -> str:
        return chr(<unsigned char>self.r.is_quoting)

    @property
    def is_short_sell_restricted(self) -> str:
        return chr(<unsigned char>self.r.is_short_sell_restricted)


cdef class Stat(Tick):
    """A statistic of the venue; `stat_type` says which, and whether `price` or `quantity` holds it."""

    def __cinit__(self):
        self.body = <uint8_t*>&self.r
        self.record_bytes = sizeof(self.r)

    @property
    def price(self) -> float:
        return as_float(self.r.price)

    @property
    def price_raw(self) -> int:
        return self.r.price

    @property
    def quantity(self) -> int:
        return self.r.quantity

    @property
    def ts_recv(self) -> int:
        return self.r.ts_recv

    @property
    def ts_ref(self) -> int:
        return self.r.ts_ref

    @property
    def sequence(self) -> int:
        return self.r.sequence

    @property
    def ts_in_delta(self) -> int:
        return self.r.ts_in_delta

    @property
    def stat_type(self) -> int:
        return self.r.stat_type

    @property
    def channel_id(self) -> int:
        return self.r.channel_id

    @property
    def update_action(self) -> int:
        return self.r.update_action

    @property
    def stat_flags(self) -> int:
        return self.r.stat_flags


cdef class Imbalance(Tick):
    """An auction's imbalance."""

    def __cinit__(self):
        self.body = <uint8_t*>&self.r
        self.record_bytes = sizeof(self.r)

    @property
    def ref_price(self) -> float:
        return as_float(self.r.ref_price)

    @property
    def ref_price_raw(self) -> int:
        return self.r.ref_price

    @property
    def cont_book_clr_price(self) -> float:
        return as_float(self.r.cont_book_clr_price)

    @property
    def cont_book_clr_price_raw(self) -> int:
        return self.r.cont_book_clr_price

    @property
    def auct_interest_clr_price(self) -> float:
        return as_float(self.r.auct_interest_clr_price)

    @property
    def auct_interest_clr_price_raw(self) -> int:
        return self.r.auct_interest_clr_price

    @property
    def ssr_filling_price(self) -> float:
        return as_float(self.r.ssr_filling_price)

    @property
    def ssr_filling_price_raw(self) -> int:
        return self.r.ssr_filling_price

    @property
    def ind_match_price(self) -> float:
        return as_float(self.r.ind_match_price)

    @property
    def ind_match_price_raw(self) -> int:
        return self.r.ind_match_price

    @property
    def upper_collar(self) -> float:
        return as_float(self.r.upper_collar)

    @property
    def upper_collar_raw(self) -> int:
        return self.r.upper_collar

    @property
    def lower_collar(self) -> float:
        return as_float(self.r.lower_collar)

    @property
    def lower_collar_raw(self) -> int:
        return self.r.lower_collar

    @property
    def ts_recv(self) -> int:
        return self.r.ts_recv

    @property
    def auction_time(self) -> int:
        return self.r.auction_time

    @property
    def paired_qty(self) -> int:
        return self.r.paired_qty

    @property
    def total_imbalance_qty(self) -> int:
        return self.r.total_imbalance_qty

    @property
    def market_imbalance_qty(self) -> int:
        return self.r.market_imbalance_qty

    @property
    def unpaired_qty(self) -> int:
        return self.r.unpaired_qty

    @property
    def auction_type(self) -> str:
        return chr(<unsigned char>self.r.auction_type)

    @property
    def side(self) -> str:
        return chr(<unsigned char>self.r.side)

    @property
    def auction_status(self) -> int:
        return self.r.auction_status

    @property
    def freeze_status(self) -> int:
        return self.r.freeze_status

    @property
    def num_extensions(self) -> int:
        return self.r.num_extensions

    @property
    def unpaired_side(self) -> str:
        return chr(<unsigned char>self.r.unpaired_side)

    @property
    def significant_imbalance(self) -> str:
        return chr(<unsigned char>self.r.significant_imbalance)

cdef class Definition(Tick):
    """What an instrument is. Every field of DBN's InstrumentDefMsg is an attribute: `raw_symbol`, `strike_price`."""

    def __cinit__(self):
        self.body = <uint8_t*>&self.r
        self.record_bytes = sizeof(self.r)

    def __getattr__(self, name: str) -> object:
        field = name.removesuffix("_raw")
        raw = field != name and field in _DEFINITION_PRICES
        if not raw:
            field = name
        if field not in _DEFINITION_FIELDS:
            raise AttributeError(f"a definition has no {name!r}")
        value = _DEFINITION_FIELDS[field](self.record)
        return as_float(value) if field in _DEFINITION_PRICES and not raw else value

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *_DEFINITION_FIELDS, *(f"{name}_raw" for name in _DEFINITION_PRICES)]


cdef Tick new_tick(uint16_t schema_id):
    cdef Tick tick
    if schema_id == TC_SCHEMA_TRADE:
        tick = Trade.__new__(Trade)
    elif schema_id == TC_SCHEMA_QUOTE:
        tick = Quote.__new__(Quote)
    elif schema_id == TC_SCHEMA_BBO:
        tick = Bbo.__new__(Bbo)
    elif schema_id == TC_SCHEMA_BOOK:
        tick = Book.__new__(Book)
    elif schema_id == TC_SCHEMA_ORDER:
        tick = Order.__new__(Order)
    elif TC_SCHEMA_BAR1S <= schema_id <= TC_SCHEMA_BAR1D:
        tick = Bar.__new__(Bar)
    elif schema_id == TC_SCHEMA_STATUS:
        tick = Status.__new__(Status)
    elif schema_id == TC_SCHEMA_STAT:
        tick = Stat.__new__(Stat)
    elif schema_id == TC_SCHEMA_DEFINITION:
        tick = Definition.__new__(Definition)
    elif schema_id == TC_SCHEMA_IMBALANCE:
        tick = Imbalance.__new__(Imbalance)
    else:
        raise ValueError(f"no such schema id: {schema_id}")
    tick.schema_id = schema_id
    return tick


def make(schema: str, symbol: str, record: bytes, seq: int = 0, topic_seq: int = 0, flags: int = 0) -> Tick:
    """A tick of your own, for a bot's tests: `record` is a DBN record of that schema.

    :raises ValueError: the record's length is not that of the schema.
    """
    cdef Tick tick = new_tick(BY_WORD[schema].id)
    if <Py_ssize_t>len(record) != tick.record_bytes:
        raise ValueError(f"a {schema} record has {tick.record_bytes} bytes, not {len(record)}")
    memcpy(tick.body, <const char*>record, tick.record_bytes)
    tick.symbol = symbol
    tick.seq = seq
    tick.topic_seq = topic_seq
    tick.flags = flags
    return tick


cdef inline double as_float(int64_t raw) noexcept nogil:
    # Division, for it rounds once: 1e-9 is no double, and a product would be a digit off for many prices.
    return NAN if raw == TC_UNDEF_PRICE else <double>raw / 1e9


cdef object _level(const tc_level* level):
    return Level(
        as_float(level.bid_px), as_float(level.ask_px), level.bid_sz, level.ask_sz, level.bid_ct, level.ask_ct
    )


cdef dict _definition_fields():
    """name -> what decodes it from a record's bytes."""
    schema = BY_WORD["definition"]
    decoders = {}
    for field in schema.fields:
        dtype = schema.dtype.fields[field.name][0]
        if dtype.kind == "V":
            continue
        decoders[field.name] = _decoder(dtype, field.offset)
    return decoders


def _decoder(dtype, offset):
    if dtype.kind == "S" and dtype.itemsize == 1:
        return lambda record: chr(record[offset])
    if dtype.kind == "S":
        return lambda record: record[offset : offset + dtype.itemsize].split(b"\0")[0].decode("ascii", "replace")
    signed = dtype.kind == "i"
    return lambda record: int.from_bytes(record[offset : offset + dtype.itemsize], "little", signed=signed)


cdef dict _DEFINITION_FIELDS = _definition_fields()
cdef frozenset _DEFINITION_PRICES = frozenset(
    field.name for field in BY_WORD["definition"].fields if field.unit == "1e-9"
)
_SHOWN = {
    "Trade": ("price", "size", "side"),
    "Quote": ("bid_px", "bid_sz", "ask_px", "ask_sz"),
    "Bbo": ("bid_px", "bid_sz", "ask_px", "ask_sz"),
    "Book": ("bid_px", "bid_sz", "ask_px", "ask_sz"),
    "Order": ("order_id", "action", "side", "price", "size"),
    "Bar": ("open", "high", "low", "close", "volume"),
    "Status": ("action", "reason", "is_trading"),
    "Stat": ("stat_type", "price", "quantity"),
    "Imbalance": ("ref_price", "paired_qty", "side"),
    "Definition": ("raw_symbol", "instrument_class", "expiration"),
}
