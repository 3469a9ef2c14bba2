"""Subscribe to a tickcast feed: a `Subscriber` to iterate over, or a `Bot` of callbacks to `run`."""

from bots.batch import Batch
from bots.bot import Bot, run
from bots.gap import Gap
from bots.staleness import Stale, SymbolState
from bots.status import StatusAction, StatusReason
from bots.subscriber import Subscriber
from bots.ticks import Bar, Bbo, Book, Definition, Imbalance, Level, Order, Quote, Stat, Status, Tick, Trade

__all__ = [
    "Bar",
    "Batch",
    "Bbo",
    "Book",
    "Bot",
    "Definition",
    "Gap",
    "Imbalance",
    "Level",
    "Order",
    "Quote",
    "Stale",
    "Stat",
    "Status",
    "StatusAction",
    "StatusReason",
    "Subscriber",
    "SymbolState",
    "Tick",
    "Trade",
    "run",
]
