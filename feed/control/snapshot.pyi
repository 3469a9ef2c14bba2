from typing import NamedTuple

from feed.control.selection import Selection
from feed.control.state import State

class Chunk(NamedTuple):
    seq: int
    next: int | None
    incomplete: list[str]
    parts: list[bytes]

class Snapshots:
    def __init__(self) -> None: ...
    def chunk(self, state: State, selection: Selection, cursor: object) -> Chunk: ...
