from enum import IntEnum

from feed.log.sink import Sink
from feed.store.walk import FrameWalk

class Want(IntEnum):
    NOTHING = 0
    BLOCK = 1
    TOPIC = 2
    ROOM = 3

REFUSED: int

class Playback(FrameWalk):
    want: int
    at_ns: int
    refused: int
    def __init__(self, first_seq: int, last_seq: int, from_ns: int, to_ns: int, speed: float) -> None: ...
    def again(self, pause_ns: int) -> None: ...
    def pour(self, sink: Sink, limit: int, now_ns: int) -> int: ...
    def flush(self, sink: Sink) -> None: ...
    @property
    def base_ns(self) -> int: ...
    @property
    def due_ns(self) -> int: ...
    def take_ticks(self) -> list[tuple[int, int]]: ...
