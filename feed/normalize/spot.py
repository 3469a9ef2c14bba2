"""Instruments of spot venues: what they are called there and here, and their definition records."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from feed.wire.fields import encode
from feed.wire.records import PRICE_UNITS

if TYPE_CHECKING:
    from feed.normalize.venue import VenueRecords

__all__ = ["SIZE_LIMIT", "SpotInstrument", "size_decimals"]

SIZE_LIMIT: Final = 2**32 - 2
"""What a record's size is at most: that, or more."""


class SpotInstrument(NamedTuple):
    """`tick` and `step`: the smallest of its price and of its size; `size_decimals`: of a record's sizes."""

    symbol: str
    venue_name: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    size_decimals: int

    def define(self, records: VenueRecords, index: int, publisher: int, exchange: str, received_ns: int) -> None:
        """Put in its definition. unit_of_measure_qty is how much of `base` one unit of a record's size is."""
        fields: dict[str, Any] = {
            "publisher_id": publisher,
            "instrument_id": index + 1,
            "ts_event": received_ns,
            "ts_recv": received_ns,
            "raw_symbol": self.venue_name,
            "exchange": exchange[:4],
            "asset": self.base[:10],
            "currency": self.quote[:3],
            "settl_currency": self.quote[:3],
            "unit_of_measure": self.base[:30],
            "unit_of_measure_qty_raw": max(1, int(PRICE_UNITS / Decimal(10) ** self.size_decimals)),
            "min_price_increment_raw": int(self.tick * PRICE_UNITS),
            "display_factor": "1",
            "instrument_class": "X",
            "security_update_action": "A",
        }
        records.record(index, "definition", encode("definition", fields), received_ns)


def size_decimals(step: Decimal, enough: Decimal) -> int:
    """As many decimals as the venue's sizes have; fewer if `SIZE_LIMIT` such units would be less than `enough`."""
    exponent = step.normalize().as_tuple().exponent
    decimals = min(18, max(0, -exponent)) if isinstance(exponent, int) else 0
    while decimals and enough * 10**decimals > SIZE_LIMIT:
        decimals -= 1
    return decimals
