"""What Coinbase's Advanced Trade websocket says of markets, as types: https://docs.cdp.coinbase.com, Advanced Trade
WebSocket channels. Other fields are passed over. Numbers are texts."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Struct

__all__ = ["CHANNEL", "SPOKEN", "Books", "Channel", "Heartbeats", "Subscriptions", "Trades"]

Sequence = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Level(Struct, gc=False):
    """Quantity 0 removes it."""

    side: Literal["bid", "offer"]
    price_level: str
    new_quantity: str
    event_time: str = ""


class _Book(Struct):
    type: Literal["snapshot", "update"]
    product_id: str
    updates: list[_Level]


class Books(Struct, tag_field="channel", tag="l2_data"):
    """Of level2. `sequence_num` counts all messages of the connection."""

    sequence_num: Sequence
    events: list[_Book]
    timestamp: str = ""


class _Trade(Struct, gc=False):
    """`trade_id` counts a product's trades; `side` is that of the order that rested."""

    trade_id: str
    product_id: str
    price: str
    size: str
    side: Literal["BUY", "SELL"]
    time: str


class _Trades(Struct):
    type: Literal["snapshot", "update"]
    trades: list[_Trade]


class Trades(Struct, tag_field="channel", tag="market_trades"):
    """A snapshot has the last ones."""

    sequence_num: Sequence
    events: list[_Trades]


class Heartbeats(Struct, tag_field="channel", tag="heartbeats"):
    """Once a second. That it came is all that matters."""

    sequence_num: Sequence


class _Subscribed(Struct):
    subscriptions: dict[str, list[str]]


class Subscriptions(Struct, tag_field="channel", tag="subscriptions"):
    """The answer to subscribe and unsubscribe: channel to products, all that holds now."""

    sequence_num: Sequence
    events: list[_Subscribed]


class Channel(Struct):
    """Of what is none of these; an error has the type "error"."""

    channel: str = ""
    sequence_num: int = -1
    type: str = ""
    message: Annotated[str, msgspec.Meta(max_length=1000)] = ""


SPOKEN: Final = msgspec.json.Decoder(Books | Trades | Heartbeats | Subscriptions)
CHANNEL: Final = msgspec.json.Decoder(Channel)
