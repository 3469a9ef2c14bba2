from feed.log.reader import LogReader
from feed.metrics.counters import Counter
from feed.publish.interest import Interest
from feed.publish.outlet import Outlet

class Pump:
    interest: Interest
    frames: int
    empties: int
    def __init__(
        self,
        reader: LogReader,
        outlet: Outlet,
        *,
        batch: int,
        heartbeat_ns: int,
        overrun: Counter,
        misfit: Counter,
        spin_ns: int = 0,
        everyone: bool = False,
    ) -> None: ...
    def attach(self, reader: LogReader) -> None: ...
    def poll(self) -> int: ...
    def park(self, timeout_ns: int) -> None: ...
    @property
    def drained(self) -> bool: ...
    @property
    def log_ended(self) -> bool: ...
