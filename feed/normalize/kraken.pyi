from typing import Final

from feed.normalize.kraken_messages import Answer, Instruments, Status
from feed.normalize.venue_books import VenueBooks

PUBLISHER: Final[int]
CHECKSUM: Final[str]

class Kraken(VenueBooks):
    def apply(self, message: bytes, received_ns: int) -> Answer | Instruments | Status | str | None: ...
    def apply_v1(self, message: bytes, received_ns: int) -> None: ...
    @property
    def checked(self) -> int: ...
