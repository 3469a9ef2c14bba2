from typing import Final

from feed.normalize.coinbase_messages import Channel, Subscriptions
from feed.normalize.venue_books import VenueBooks

PUBLISHER: Final[int]
GAP: Final[str]

class Coinbase(VenueBooks):
    expected: int
    def apply(self, message: bytes, received_ns: int) -> Subscriptions | Channel | str | None: ...
