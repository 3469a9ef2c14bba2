from collections.abc import Mapping
from typing import Final

from feed.log.sink import Sink
from feed.log.through import Through

RULES: Final[tuple[str, ...]]

class Validator(Through):
    broken: bool
    def __init__(
        self,
        into: Sink,
        actions: Mapping[str, str],
        *,
        band: float = ...,
        size_max: int = ...,
        ahead_ns: int = ...,
        behind_ns: int = ...,
    ) -> None: ...
    def know(self, symbol: str, tick: int, low: int | None, high: int | None) -> None: ...
    def take_broken(self) -> list[tuple[str, int, int]]: ...
