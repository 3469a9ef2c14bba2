from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

FLAG_SNAPSHOT: Final[int]
FLAG_REPLAYED: Final[int]
FLAG_CONFLATED: Final[int]
FLAG_LOSS: Final[int]
FLAG_DOUBTFUL: Final[int]
HEADER_BYTES: Final[int]
COUNT_MAX: Final[int]

class Frame:
    @property
    def topic(self) -> bytes: ...
    @property
    def schema(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def known(self) -> bool: ...
    @property
    def flags(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def record_bytes(self) -> int: ...
    @property
    def folded(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def topic_seq(self) -> int: ...
    @property
    def ts_in(self) -> int: ...
    @property
    def ts_sent(self) -> int: ...
    @property
    def records(self) -> NDArray[Any]: ...
    @property
    def seqs(self) -> NDArray[np.uint64]: ...
    @property
    def ts_ins(self) -> NDArray[np.uint64]: ...

class LogFrame(NamedTuple):
    topic_id: int
    seq: int
    topic_seq: int
    ts_in: int
    committed_delta: int
    kind: int
    flags: int
    record: bytes

class Firehose(NamedTuple):
    flags: int
    epoch: int
    seq: int
    ts_in: int
    ts_sent: int
    frames: tuple[LogFrame, ...]

def decode(data: Buffer) -> Frame: ...
def encode(
    topic: bytes,
    records: bytes | NDArray[Any] = b"",
    *,
    epoch: int,
    seq: int,
    topic_seq: int = 0,
    ts_in: int = 0,
    ts_sent: int = 0,
    flags: int = 0,
    folded: int = 0,
    seqs: Sequence[int] | NDArray[np.uint64] | None = None,
    ts_ins: Sequence[int] | NDArray[np.uint64] | None = None,
    record_bytes: int | None = None,
) -> bytes: ...
def heartbeat(*, epoch: int, seq: int, ts_sent: int = 0) -> bytes: ...
def log_frames(data: Buffer) -> memoryview: ...
def decode_firehose(data: Buffer) -> Firehose: ...
def encode_firehose(
    frames: Sequence[LogFrame] = (),
    *,
    epoch: int,
    seq: int,
    ts_in: int = 0,
    ts_sent: int = 0,
    flags: int = 0,
) -> bytes: ...
