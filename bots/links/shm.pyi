from pathlib import Path

from bots.links.link import Link

class ShmLink(Link):
    def __init__(self, directory: Path, name: str = "", start: str | int = "live") -> None: ...
    @property
    def epoch(self) -> int: ...
    @property
    def position(self) -> int: ...
