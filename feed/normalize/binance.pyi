from decimal import Decimal
from typing import Final

from feed.log.sink import Sink
from feed.metrics.histogram import Histogram
from feed.normalize.venue import VenueRecords

DONE: Final[int]
ANSWER: Final[int]
NEEDS_SNAPSHOT: Final[int]
PUBLISHERS: Final[dict[str, int]]
DEPTH: Final[int]
HELD_MAX: Final[int]
HELD_BYTES_MAX: Final[int]

class Binance(VenueRecords):
    futures: bool
    index: int
    cause: str
    def __init__(self, sink: Sink | None, publisher: int, venue: Histogram | None = None) -> None: ...
    def name(self, index: int, symbol: str) -> None: ...
    def apply(self, payload: bytes, received_ns: int) -> int: ...
    def snapshot(self, index: int, payload: bytes, received_ns: int) -> bool: ...
    def down(self, index: int, received_ns: int) -> None: ...
    def is_waiting(self, index: int) -> bool: ...
    def levels(self, index: int, side: int, n: int) -> list[tuple[int, Decimal]]: ...
