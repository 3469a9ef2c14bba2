from typing import Final

from feed.normalize.order_book import OrderBooks
from feed.normalize.outbox import Outbox

MARKETS: Final[dict[str, int]]

class ItchRecords(Outbox):
    resting: OrderBooks
    def __init__(self, market: str, *, orders: int = ...) -> None: ...
