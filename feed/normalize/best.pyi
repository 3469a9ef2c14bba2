from collections.abc import Sequence
from typing import Final

from feed.log.ring import Intake
from feed.log.sink import Sink
from feed.log.through import Through

BEST: Final[str]

class Best(Through):
    published: int
    intake: Intake | None
    def __init__(self, into: Sink, symbols: Sequence[str], *, max_age_ns: int = ...) -> None: ...
