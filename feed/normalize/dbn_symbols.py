"""What instruments are called: the symbol mappings of a DBN file, by instrument and time.

Historical files carry them in the metadata, by UTC date; live captures as records in between, which hold from where
they stand. An instrument without a name goes by ``#`` and its number: ``#5482``.
"""

from __future__ import annotations

import datetime
from bisect import bisect_right
from typing import TYPE_CHECKING

from feed.errors import SymbolError
from feed.wire.topics import check_symbol

if TYPE_CHECKING:
    from databento_dbn import Metadata

__all__ = ["END_OF_TIME", "DbnSymbols"]

END_OF_TIME = 2**64 - 1
_DAY_NS = 86_400 * 10**9
_EPOCH = datetime.date(1970, 1, 1)


class DbnSymbols:
    """Symbols of one file.

    ``unnamed`` holds the instruments that :meth:`at` had to give their number for: without a mapping at that time, or
    with one that is no symbol (design section 3: printable ASCII but ``| * ?``, at most 71).
    """

    def __init__(self, metadata: Metadata) -> None:
        self.unnamed: set[int] = set()
        self._told: dict[int, str] = {}
        self._spans: dict[int, list[tuple[int, int, str]]] = {}
        by_id = str(metadata.stype_in) == "instrument_id" and str(metadata.stype_out) != "instrument_id"
        for key, intervals in metadata.mappings.items():
            for interval in intervals:
                number, symbol = (key, interval["symbol"]) if by_id else (interval["symbol"], key)
                start, end = _day_ns(interval["start_date"]), _day_ns(interval["end_date"])
                if symbol and number.isascii() and number.isdecimal() and start < end:
                    self._spans.setdefault(int(number), []).append((start, end, symbol))

    def at(self, instrument_id: int, ts: int) -> tuple[str, int, int]:
        """The symbol at time `ts` (ns since 1970), and from when until when that is the answer: [from, to) in ns."""
        told = self._told.get(instrument_id)
        if told is not None:
            return self._checked(instrument_id, told), 0, END_OF_TIME
        spans = self._spans.get(instrument_id, [])
        edges = sorted({0, END_OF_TIME, *(edge for start, end, _ in spans for edge in (start, end))})
        i = bisect_right(edges, ts, hi=len(edges) - 1)
        # ES.c.0 and ES.v.0 may well be one instrument: the name that began last, of these the first by alphabet
        named = min(((-start, name) for start, end, name in spans if start <= ts < end), default=(0, ""))
        return self._checked(instrument_id, named[1]), edges[i - 1], edges[i]

    def tell(self, instrument_id: int, symbol_in: str, symbol_out: str) -> None:
        """A mapping record: from here on this is `symbol_out`, or, if that is but the number again, `symbol_in`."""
        self._told[instrument_id] = symbol_in if symbol_out in ("", str(instrument_id)) else symbol_out

    def forget_told(self) -> None:
        """Back to what the metadata says, as at the beginning of the file."""
        self._told.clear()

    def _checked(self, instrument_id: int, symbol: str) -> str:
        try:
            return check_symbol(symbol)
        except SymbolError:
            self.unnamed.add(instrument_id)
            return f"#{instrument_id}"


def _day_ns(day: datetime.date) -> int:
    return min(END_OF_TIME, max(0, (day - _EPOCH).days * _DAY_NS))
