"""What Kraken's websocket says, version 2, as types: https://docs.kraken.com/api/docs/websocket-v2. Other fields are
passed over.

Numbers are kept as the text that came (msgspec.Raw): the checksum sums up their digits, zeros at the end too.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Raw, Struct

__all__ = [
    "ANSWER",
    "CHANNEL",
    "SPOKEN",
    "Answer",
    "Book",
    "BookSide",
    "Books",
    "Channel",
    "Heartbeat",
    "Instruments",
    "Pair",
    "Status",
    "Trade",
    "Trades",
]

Word = Annotated[str, msgspec.Meta(max_length=64)]


class BookSide(Struct, gc=False):
    """A level: quantity 0 removes it."""

    price: Raw
    qty: Raw


class Book(Struct):
    """One symbol's levels: all of them in a snapshot, in an update those that changed, several times maybe."""

    symbol: str
    checksum: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
    bids: list[BookSide] = []
    asks: list[BookSide] = []
    timestamp: str = ""


class Books(Struct, tag_field="channel", tag="book"):
    type: Literal["snapshot", "update"]
    data: list[Book]


class Trade(Struct, gc=False):
    """`side` is the aggressor's, `trade_id` counts a symbol's trades."""

    symbol: str
    side: Literal["buy", "sell"]
    price: Raw
    qty: Raw
    trade_id: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    timestamp: str


class Trades(Struct, tag_field="channel", tag="trade"):
    """A snapshot has the last fifty."""

    type: Literal["snapshot", "update"]
    data: list[Trade]


class Pair(Struct):
    """What can be traded; increments are the smallest steps, `qty_min` the smallest order. One that lacks something
    is none, and must not cost the others."""

    symbol: str = ""
    base: str = ""
    quote: str = ""
    price_increment: Raw = Raw(b"")
    qty_increment: Raw = Raw(b"")
    qty_min: Raw = Raw(b"")


class _Pairs(Struct):
    pairs: list[Pair]


class Instruments(Struct, tag_field="channel", tag="instrument"):
    type: Literal["snapshot", "update"]
    data: _Pairs


class Heartbeat(Struct, tag_field="channel", tag="heartbeat"):
    """About once a second when nothing else comes."""


class _System(Struct):
    system: Word


class Status(Struct, tag_field="channel", tag="status"):
    """`system`: online, cancel_only, maintenance, ..."""

    data: list[_System]


class _Subscribed(Struct):
    channel: str = ""
    symbol: str = ""


class Answer(Struct):
    """To something asked for: subscribe, unsubscribe, ping (pong). In a refusal `symbol` stands outside `result`."""

    method: str
    success: bool = True
    error: Word = ""
    symbol: str = ""
    req_id: int = 0
    result: _Subscribed = msgspec.field(default_factory=_Subscribed)


class Channel(Struct):
    """Of what is none of these."""

    channel: str = ""


SPOKEN: Final = msgspec.json.Decoder(Books | Trades | Instruments | Heartbeat | Status)
ANSWER: Final = msgspec.json.Decoder(Answer)
CHANNEL: Final = msgspec.json.Decoder(Channel)
