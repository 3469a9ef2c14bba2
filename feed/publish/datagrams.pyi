from feed.metrics.counters import Counter
from feed.metrics.histogram import Histogram
from feed.publish.numbering import Numbering
from feed.publish.outlet import Outlet
from feed.shards import Shards

class DatagramOutlet(Outlet):
    datagrams: int
    sent_bytes: int
    calls: int
    def __init__(
        self,
        sockets: list[int],
        groups: list[list[tuple[bytes, int]]],
        shards: Shards,
        numbering: Numbering,
        *,
        payload_bytes: int,
        batch: int,
        heartbeat_ns: int,
        sent: Counter,
        network: Counter,
        publish: Histogram | None,
    ) -> None: ...
    def begin(self, epoch: int, seq: int, position: int) -> None: ...
    def resume(self, seq: int, position: int) -> None: ...
