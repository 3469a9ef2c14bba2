from pathlib import Path
from typing import Self

from typing_extensions import Buffer

from feed.log.sink import Sink
from feed.metrics.histogram import Histogram

class LogWriter(Sink):
    evictions: int
    rings: int
    refused_topics: int
    resumed: bool
    @staticmethod
    def open(
        directory: Path,
        *,
        log_bytes: int = ...,
        max_topics: int = ...,
        gating: tuple[str, ...] = ...,
        gate_timeout_ns: int = ...,
        wake_us: int = ...,
        group: int = ...,
    ) -> LogWriter: ...
    def close(self, remove: bool = False) -> None: ...
    def beat(self) -> None: ...
    def measure(self, ingest: Histogram) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def publish(self, topic_id: int, record: bytes, ts_in: int = 0, flags: int = 0) -> int: ...
    def publish_batch(
        self, topic_ids: Buffer, records: Buffer, record_bytes: int, ts_in: Buffer | None = None
    ) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def next_seq(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def directory(self) -> Path: ...
