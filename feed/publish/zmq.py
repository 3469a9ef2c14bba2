"""The ZeroMQ publisher: one XPUB socket (tcp or ipc) that a pump feeds, and, if asked for, another for the firehose.

The endpoint really bound is written to ``endpoints/NAME`` beside the log while the socket is bound, so that a directory
can tell bots where to go even when the port was chosen by the kernel (port 0).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from feed.clock import monotonic_ns
from feed.config import duration_ns
from feed.errors import HostError, LogMissing
from feed.log.reader import LogReader
from feed.ports import Endpoint, bind_error, parse_endpoint, refuse_taken
from feed.publish.firehose import Firehose
from feed.publish.outlet import Outlet
from feed.publish.pump import Pump

if TYPE_CHECKING:
    from feed.config import PgmConfig, ZmqConfig
    from feed.metrics.counters import Counters
    from feed.wire.pgm import Group

__all__ = ["ENDPOINTS", "ZmqPublisher", "queue_frames"]

ENDPOINTS = "endpoints"
"""Directory beside the log: a file per publisher that holds its endpoint."""

LINGER_MS = 500
SPIN_NS = 20_000
REOPEN_NS = 100_000_000
RETRY_NS = 1_000_000
WAIT_FRAMES_MIN = 64
UPSTREAM_BYTES_MAX = 1024
"""Nothing that a subscriber sends is longer than a prefix."""


class ZmqPublisher:
    """An agent (feed.agent). Needs the log to be there; goes on where the publisher of this name was when it ended.

    Raises AddressInUse naming who has the address, LogMissing, and HostError when the address can't be bound.
    """

    everyone = False
    """Does it send everything, for nobody can subscribe?"""

    def __init__(
        self, name: str, config: ZmqConfig | PgmConfig, log_directory: Path, counters: Counters, *, io_threads: int = 1
    ) -> None:
        self.name = f"publish.{name}"
        self._name = name
        self._directory = log_directory
        self._reader_names = [self.name, *([f"firehose.{name}"] if config.firehose else [])]
        self._readers: list[LogReader] = []
        self._next_look = 0
        self._closed = False
        self._context = zmq.Context(io_threads)
        self._sockets: list[zmq.Socket[bytes]] = []
        self._files: list[Path] = []
        try:
            self._open(config, counters)
        except BaseException:
            self.close()
            raise

    def _open(self, config: ZmqConfig | PgmConfig, counters: Counters) -> None:
        where = f"publish.{self._name}"
        endpoint, bound = self._bind(
            config.endpoint or f"ipc://{self._directory / self._name}", f"{where}.endpoint", config
        )
        self.endpoint = str(endpoint)
        self.transport = endpoint.transport
        self.firehose_endpoint = ""
        self._readers = self._join("resume")
        self.pump = Pump(
            self._readers[0],
            Outlet(
                bound,
                counters.counter("tickcast_sent_total", publisher=self._name),
                counters.histogram("tickcast_latency_seconds", stage="publish", transport=self.transport),
            ),
            batch=config.batch,
            heartbeat_ns=duration_ns(config.heartbeat),
            overrun=counters.counter("tickcast_dropped_total", publisher=self._name, cause="overrun"),
            misfit=counters.counter("tickcast_dropped_total", publisher=self._name, cause="misfit"),
            spin_ns=SPIN_NS if config.idle == "spin" else 0,
            everyone=self.everyone,
        )
        self._firehose: Firehose | None = None
        if config.firehose:
            endpoint, bound = self._bind(config.firehose, f"{where}.firehose", config)
            self.firehose_endpoint = str(endpoint)
            label = f"{self._name}.firehose"
            self._firehose = Firehose(
                self._readers[1],
                Outlet(bound, counters.counter("tickcast_sent_total", publisher=label), None),
                heartbeat_ns=duration_ns(config.heartbeat),
                overrun=counters.counter("tickcast_dropped_total", publisher=label, cause="overrun"),
            )
        self._announce()

    def poll(self) -> int:
        if self._closed:
            return 0
        work = self.pump.poll()
        if self._firehose is not None:
            work += self._firehose.poll()
        if not work and self.pump.log_ended:
            self._rejoin()
        return work

    def park(self, timeout_ns: int) -> None:
        if self._closed:
            return
        if self._firehose is not None and self._firehose.pending:
            timeout_ns = min(timeout_ns, RETRY_NS)
        self.pump.park(timeout_ns)

    def drain(self) -> bool:
        return self._closed or (self.pump.drained and (self._firehose is None or self._firehose.drained))

    def close(self) -> None:
        """Free the addresses, leave the log; subscribers have half a second to take what is queued for them."""
        self._closed = True
        for file in self._files:
            file.unlink(missing_ok=True)
        for bound in self._sockets:
            bound.close(LINGER_MS)
        self._context.term()
        for reader in self._readers:
            reader.close()
        self._files, self._sockets, self._readers = [], [], []

    def _join(self, start: str) -> list[LogReader]:
        """A reader for the pump and one for the firehose. Raises LogMissing."""
        with contextlib.ExitStack() as opened:
            readers = [
                opened.enter_context(LogReader.open(self._directory, name=name, start=start))
                for name in self._reader_names
            ]
            opened.pop_all()
        return readers

    def _rejoin(self) -> None:
        """This log has ended: take up the next one, from its beginning, as soon as there is one."""
        now = monotonic_ns()
        if now < self._next_look:
            return
        self._next_look = now + REOPEN_NS
        try:
            readers = self._join("begin")
        except LogMissing:
            return
        self.pump.attach(readers[0])
        if self._firehose is not None:
            self._firehose.attach(readers[1])
        for reader in self._readers:
            reader.close()
        self._readers = readers

    # --- the address ------------------------------------------------------------------------------------------------

    def _bind(self, text: str, where: str, config: ZmqConfig | PgmConfig) -> tuple[Endpoint | Group, zmq.Socket[bytes]]:
        """An XPUB socket bound to `text`, and where it really is."""
        endpoint = parse_endpoint(text, where=where)
        file = Path(endpoint.path) if endpoint.path.startswith("/") else None
        # libzmq unlinks whatever lies at the path: a dead publisher's socket should go, nothing else.
        refuse_taken(endpoint, where=where)
        if file is not None and file.exists() and not file.is_socket():
            raise HostError("can't bind", expected="a path for a socket", found=f"another file at {file}", where=where)
        bound = self._context.socket(zmq.XPUB)
        self._sockets.append(bound)
        bound.setsockopt(zmq.SNDHWM, queue_frames(config))
        bound.setsockopt(zmq.XPUB_VERBOSE, 1)
        bound.setsockopt(zmq.XPUB_NODROP, config.slow == "wait")
        bound.setsockopt(zmq.MAXMSGSIZE, UPSTREAM_BYTES_MAX)
        bound.setsockopt(zmq.BACKLOG, 512)
        bound.setsockopt(zmq.IPV6, ":" in endpoint.host)
        # A subscriber whose host vanished is noticed within half a minute, not within hours.
        bound.setsockopt(zmq.TCP_KEEPALIVE, 1)
        bound.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 10)
        bound.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 5)
        bound.setsockopt(zmq.TCP_KEEPALIVE_CNT, 4)
        try:
            bound.bind(str(endpoint))
        except zmq.ZMQError as error:
            raise bind_error(endpoint, error.errno or 0, where=where) from None
        if file is not None:
            # Who may read the log may connect: connecting takes permission to write.
            os.chown(file, -1, self._directory.stat().st_gid)
            file.chmod(0o660)
            self._files.append(file)  # libzmq leaves it behind
        return parse_endpoint(bound.get_string(zmq.LAST_ENDPOINT)), bound

    def _announce(self) -> None:
        directory = self._directory / ENDPOINTS
        directory.mkdir(mode=0o750, exist_ok=True)
        file = directory / self._name
        fresh = directory / f".{self._name}.{os.getpid()}"
        self._files += [file, fresh]
        fresh.write_text(self.endpoint, encoding="utf-8")
        fresh.replace(file)


def queue_frames(config: ZmqConfig | PgmConfig) -> int:
    """The socket's high-water mark, frames for each subscriber.

    With "drop" it is all that a slow one has. With "wait" the log is the queue: `hwm` then bounds the ticks that have
    left it, a memory that stays in the caches, however many there are in a frame.
    """
    if config.slow == "drop":
        return config.hwm
    return max(config.hwm // config.batch, min(config.hwm, WAIT_FRAMES_MIN))
