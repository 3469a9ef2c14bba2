from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

from bots import arrivals
from bots.batch import Batch
from bots.samples import Samples
from bots.share import Share
from bots.ticks import Tick
from feed.metrics.histogram import Histogram

class Hooks(arrivals.Hooks, Protocol):
    def status(self, symbol: str, action: int, reason: int, is_trading: str, ts_event: int) -> None: ...
    def late(self, topic: str, age_ns: int) -> None: ...

class Delivery(arrivals.Arrivals):
    ticks: int
    last_lag_ns: int
    wire: Histogram
    total: Histogram
    handler: Histogram
    samples: Samples
    offset_ns: int
    current: Tick | None
    def __init__(
        self,
        hooks: Hooks,
        stream: bool = False,
        spin: bool = False,
        *,
        stop: frozenset[int] = ...,
        patience_ns: int = ...,
        latest: frozenset[int] = ...,
        behind_ns: int = ...,
        kept_bytes: int = ...,
        seed: int | None = ...,
        share: Share | None = ...,
    ) -> None: ...
    def finish_off(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Tick: ...
    def poll(self) -> Tick | None: ...
    def recv(self, timeout: float | None = None) -> Tick | None: ...
    def recv_many(self, n: int = 4096, timeout: float | None = None) -> Batch | None: ...
    def dispatch(
        self, handlers: Mapping[int, Callable[[Any], object]], batch_end: Callable[[], object] | None = None
    ) -> None: ...
