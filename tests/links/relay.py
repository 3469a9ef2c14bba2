"""A bad cable for our own multicast: from one group to another, and some is lost, doubled or swapped on the way."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from dataclasses import dataclass, field

from feed.shards import Line
from feed.wire import mold
from feed.wire.groups import open_receiver, open_sender

from .conftest import PATIENCE_S

BUFFER_BYTES = 8 << 20


@dataclass
class Faults:
    """Each in how many of all packets, 0 to 1. `script`: what is done with the next packets, "." nothing, "-" lost."""

    drop: float = 0.0
    double: float = 0.0
    swap: float = 0.0
    seed: int = 1
    script: str = ""


@dataclass
class Relay:
    """Turned by a thread of its own until close(). `dropped`: the sequences of messages that it lost."""

    source: Line
    target: Line
    faults: Faults
    dropped: set[int] = field(default_factory=set)
    touched: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.faults.seed)
        self._incoming = open_receiver(self.source, 0, buffer_bytes=BUFFER_BYTES)
        self._incoming.settimeout(0.05)
        self._outgoing = open_sender(
            self.target, mtu=1500, ttl=0, loopback=True, buffer_bytes=BUFFER_BYTES, where="relay"
        )
        self._ended = False
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended = True
        self._thread.join()
        self._incoming.close()
        self._outgoing.close()

    def _turn(self) -> None:
        late: bytes | None = None
        while not self._ended:
            packet = None
            with contextlib.suppress(TimeoutError):
                packet = self._incoming.recv(1 << 16)
            if packet is not None and not self._lost(packet):
                swap = self._random.random() < self.faults.swap
                if swap and late is None:
                    late = packet
                    self.touched += 1
                    continue
                self._send(packet)
                if self._random.random() < self.faults.double:
                    self.touched += 1
                    self._send(packet)
            if late is not None:
                self._send(late)
                late = None

    def _lost(self, packet: bytes) -> bool:
        said, self.faults.script = self.faults.script[:1], self.faults.script[1:]
        if said == "." or (not said and self._random.random() >= self.faults.drop):
            return False
        self.touched += 1
        read = mold.decode(packet)
        self.dropped.update(range(read.sequence, read.sequence + len(read.blocks)))
        return True

    def _send(self, packet: bytes) -> None:
        with contextlib.suppress(OSError):
            self._outgoing.sendto(packet, (self.target.group, self.target.port))


def plain_receiver(line: Line) -> socket.socket:
    """What any MoldUDP64 program would open."""
    receiving = open_receiver(line, 0, buffer_bytes=BUFFER_BYTES)
    receiving.settimeout(PATIENCE_S)
    return receiving
