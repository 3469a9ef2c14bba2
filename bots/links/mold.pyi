from collections.abc import Iterable

from bots.links.frames import FrameLink

class MoldLink(FrameLink):
    foreign: int
    requested: int
    given_up: int
    ask_after_ns: int
    give_up_ns: int
    shards_joined: list[int]
    @property
    def sessions(self) -> list[bytes]: ...
    def __init__(self, endpoint: str, patterns: Iterable[str], spin: bool = False) -> None: ...
    def line_counts(self) -> list[tuple[int, int, int]]: ...
