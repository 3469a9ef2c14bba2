from collections.abc import Sequence
from typing import Final

from feed.log.sink import Sink

NOMINAL_RATE: Final[int]
RATES: Final[tuple[float, float]]

class Market:
    def __init__(
        self,
        seed: int,
        topics: Sequence[tuple[int, int, int]],
        weights: Sequence[int],
        *,
        rate: float,
        arrivals: str,
        ticks: int = 0,
        crossed: bool = False,
        halts_per_million: float = 0.0,
    ) -> None: ...
    def start(self, ns: int) -> None: ...
    def pour(self, sink: Sink, limit: int, now_ns: int) -> int: ...
    @property
    def due_ns(self) -> int: ...
    @property
    def full(self) -> bool: ...
    @property
    def finished(self) -> bool: ...
    def take_ticks(self) -> list[tuple[int, int]]: ...
