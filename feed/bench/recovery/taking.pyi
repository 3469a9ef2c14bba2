from collections.abc import Callable
from pathlib import Path

from bots.ticks import Tick

class Taking:
    topics: dict[str, int]
    watched: str
    def __init__(self) -> None: ...
    def take(self, recv: Callable[[], Tick | None], until_ns: int) -> Tick | None: ...
    def write(self, file: Path) -> None: ...
