"""The publisher of our own multicast: a pump that feeds MoldUDP64 datagrams, and a server for what did not come.

Every tick of the log goes to the group of its shard, on one line or on two that carry the same. What bots are told,
where to join and where to ask, is written to ``endpoints/NAME`` beside the log; the numbering is in ``mold-NAME``
there, so a publisher that begins anew goes on in the same session. Specification of the datagrams: feed/wire/README.md.
"""

from __future__ import annotations

import os
import socket
import zlib
from typing import TYPE_CHECKING

from feed.clock import monotonic_ns
from feed.config import MoldConfig, duration_ns, size_bytes
from feed.errors import AddressInUse, HostError, LogMissing
from feed.log.reader import LogReader
from feed.ports import parse_endpoint
from feed.publish.datagrams import DatagramOutlet
from feed.publish.numbering import Numbering
from feed.publish.pump import Pump
from feed.publish.resend import Resender
from feed.publish.zmq import ENDPOINTS, REOPEN_NS, SPIN_NS
from feed.wire.groups import interface_of, open_sender

if TYPE_CHECKING:
    from pathlib import Path

    from feed.config import FeedConfig
    from feed.metrics.counters import Counters

__all__ = ["MoldPublisher", "refuse"]


def refuse(config: FeedConfig) -> None:
    """Raise HostError if this host can't do what a mold publisher of `config` needs: before anything starts."""
    for name, publisher in config.publish.items():
        if isinstance(publisher, MoldConfig):
            for line in publisher.address.lines:
                interface_of(line, publisher.mtu, where=f"publish.{name}")


class MoldPublisher:
    """An agent (feed.agent). Needs the log to be there; goes on where the publisher of this name was when it ended.

    `archive`: the folder in which to look for what the log has no more.

    :raises HostError: no such interface, no route to the group, packets that do not fit it.
    :raises AddressInUse: another has the address of `requests`.
    :raises LogMissing: there is no feed.
    """

    def __init__(
        self, name: str, config: MoldConfig, log_directory: Path, counters: Counters, archive: Path | None = None
    ) -> None:
        self.name = f"publish.{name}"
        self.transport = "mold"
        self._name = name
        self._config = config
        self._directory = log_directory
        self._sockets: list[socket.socket] = []
        self._files: list[Path] = []
        self._reader: LogReader | None = None
        self._numbering: Numbering | None = None
        self._resender: Resender | None = None
        self._next_look = 0
        self._closed = False
        try:
            self._open(counters, archive)
        except BaseException:
            self.close()
            raise

    def _open(self, counters: Counters, archive: Path | None) -> None:
        config, name = self._config, self._name
        address = config.address
        for line in address.lines:
            self._sockets.append(
                open_sender(
                    line,
                    mtu=config.mtu,
                    ttl=config.ttl,
                    loopback=config.loopback,
                    buffer_bytes=size_bytes(config.buffer),
                    where=self.name,
                )
            )
            if address.shards.count == 1:  # then the kernel need not look for the way each time
                self._sockets[-1].connect((line.group, line.port))
        self._reader = LogReader.open(self._directory, name=self.name, start="resume")
        rule = zlib.crc32(repr(address.shards).encode())
        self._numbering = Numbering(self._directory / f"mold-{name}", address.shards.count, rule)
        self.outlet = DatagramOutlet(
            [each.fileno() for each in self._sockets],
            [
                [(socket.inet_aton(line.shard(i)), line.port) for i in range(address.shards.count)]
                for line in address.lines
            ],
            address.shards,
            self._numbering,
            payload_bytes=config.payload_bytes,
            batch=config.batch,
            heartbeat_ns=duration_ns(config.heartbeat),
            sent=counters.counter("tickcast_sent_total", publisher=name),
            network=counters.counter("tickcast_dropped_total", publisher=name, cause="network"),
            publish=counters.histogram("tickcast_latency_seconds", stage="publish", transport="mold"),
        )
        seq = self._numbering.resume(self._reader.epoch)
        if seq and self._reader.seek(seq):
            self.outlet.resume(seq, self._reader.position)
        else:
            self._begin()
        self.pump = Pump(
            self._reader,
            self.outlet,
            batch=1,
            heartbeat_ns=duration_ns(config.heartbeat),
            overrun=counters.counter("tickcast_dropped_total", publisher=name, cause="overrun"),
            misfit=counters.counter("tickcast_dropped_total", publisher=name, cause="misfit"),
            spin_ns=SPIN_NS if config.idle == "spin" else 0,
            everyone=True,
        )
        requests = self._serve(counters, archive) if config.requests else ""
        self.endpoint = config.announced(requests)
        self._announce()

    def poll(self) -> int:
        if self._closed:
            return 0
        work = self.pump.poll()
        if not work and self.pump.log_ended:
            self._rejoin()
        return work

    def park(self, timeout_ns: int) -> None:
        if not self._closed:
            self.pump.park(timeout_ns)

    def drain(self) -> bool:
        return self._closed or self.pump.drained

    def close(self) -> None:
        """Leave groups and log. The session is not over: who begins anew under this name goes on with it."""
        self._closed = True
        for file in self._files:
            file.unlink(missing_ok=True)
        if self._resender is not None:
            self._resender.close()
        for each in self._sockets:
            each.close()
        if self._reader is not None:
            self._reader.close()
        self._files, self._sockets, self._reader, self._resender = [], [], None, None

    # --- the log ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Another session, from where the reader stands."""
        assert self._reader is not None
        self.outlet.begin(self._reader.epoch, self._reader.next_seq, self._reader.position)

    def _rejoin(self) -> None:
        """This log has ended: take up the next one, from its beginning, as soon as there is one."""
        now = monotonic_ns()
        if now < self._next_look:
            return
        self._next_look = now + REOPEN_NS
        try:
            reader = LogReader.open(self._directory, name=self.name, start="begin")
        except LogMissing:
            return
        left, self._reader = self._reader, reader
        self._begin()
        self.pump.attach(reader)
        if self._resender is not None:
            self._resender.renew()
        if left is not None:
            left.close()

    # --- requests ---------------------------------------------------------------------------------------------------

    def _serve(self, counters: Counters, archive: Path | None) -> str:
        """Begin to answer requests; gives where."""
        assert self._numbering is not None
        config, where = self._config, f"{self.name}.requests"
        endpoint = parse_endpoint(config.requests, where=where, bare=True)
        host = "" if endpoint.host == "*" else endpoint.host
        serving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sockets.append(serving)
        try:
            serving.bind((host, endpoint.port))
        except OSError as error:
            if error.errno == 98:
                raise AddressInUse("the address is taken", found=config.requests, where=where) from None
            raise HostError(f"can't bind: {error.strerror}", found=config.requests, where=where) from None
        self._resender = Resender(
            serving,
            self._directory,
            self._numbering,
            config.address.shards,
            archive=archive,
            payload_bytes=config.payload_bytes,
            batch=config.batch,
            rate=config.request_rate,
            counters=counters,
            name=self._name,
        )
        return f"{endpoint.host}:{serving.getsockname()[1]}"

    def _announce(self) -> None:
        directory = self._directory / ENDPOINTS
        directory.mkdir(mode=0o750, exist_ok=True)
        file = directory / self._name
        fresh = directory / f".{self._name}.{os.getpid()}"
        self._files += [file, fresh]
        fresh.write_text(self.endpoint, encoding="utf-8")
        fresh.replace(file)
