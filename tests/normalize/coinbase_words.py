"""Coinbase's messages, as it words them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TIME", "Levels", "book_message", "message", "trade_message"]

TIME = "2026-04-07T14:30:01.456789Z"
Levels = list[tuple[str, str]]


def message(channel: str, number: int, events: Sequence[Any]) -> bytes:
    head = {"channel": channel, "client_id": "", "timestamp": TIME, "sequence_num": number}
    return orjson.dumps({**head, "events": events})


def book_message(number: int, kind: str, bids: Levels, asks: Levels, product: str = "BTC-USD") -> bytes:
    updates = [
        {"side": side, "event_time": TIME, "price_level": price, "new_quantity": size}
        for side, levels in (("bid", bids), ("offer", asks))
        for price, size in levels
    ]
    return message("l2_data", number, [{"type": kind, "product_id": product, "updates": updates}])


def trade_message(number: int, kind: str, *trades: int, product: str = "BTC-USD") -> bytes:
    told = [
        {"trade_id": str(n), "product_id": product, "price": "5.10", "size": "0.00027625", "side": "BUY", "time": TIME}
        for n in trades
    ]
    return message("market_trades", number, [{"type": kind, "trades": told}])
