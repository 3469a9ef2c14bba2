"""PGM by ZeroMQ, for both ends: what an address is, what must be set before libpgm sees it, and whether it is there.

libpgm aborts the process at some addresses that it does not like (libzmq #784, #2585, #4501), and refuses some names of
interfaces. So an address is taken apart and checked here, the interface is turned into its IPv4 address, and every
number is within what libzmq 4.3 can reckon with. The two ends must agree on rate and recovery: both bound their windows
by them. RFC 3208 is PGM; epgm is the same within UDP, which needs no privilege.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import zmq

from feed.errors import ConfigError, HostError
from feed.wire.interfaces import check_group, choose

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HOPS_MAX", "RATE_MAX", "TRANSPORTS", "Group", "Window", "parse_group", "require"]

TRANSPORTS = ("epgm", "pgm")

RATE_MAX = 2_147_483
"""kbit/s: libzmq reckons rate x 1000 in 32 bits with a sign."""

TPDU_MIN, TPDU_MAX = 576, 65_000
HOPS_MAX = 255
WINDOW_MAX = 1 << 30
"""Bytes: what rate x recovery may come to, at each end."""

_ALLOWED = '"epgm://INTERFACE;GROUP:PORT" or "epgm://GROUP:PORT", such as "epgm://eth0;239.192.1.1:5560"'


@dataclass(frozen=True, slots=True)
class Group:
    """Where PGM goes: over an interface (its name or address; "": the one that leads there) to group and port."""

    transport: str
    interface: str
    host: str
    port: int

    def __str__(self) -> str:
        interface = f"{self.interface};" if self.interface else ""
        return f"{self.transport}://{interface}{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Never: it is for others."""
        return False

    def over(self, interface: str) -> Group:
        """The same group over another interface."""
        return Group(self.transport, interface, self.host, self.port)

    def here(self, window: Window, *, where: str | None = None) -> Group:
        """The same with the address of this host's interface, once all is well with it.

        :raises HostError: no such interface, it is down, its packets are too short, or there is no route.
        """
        found = choose(self.interface, self.host, where=where)
        if found.mtu < window.tpdu:
            raise HostError(
                "PGM's packets do not fit the interface",
                expected=f"at most {found.mtu} bytes on {found}",
                found=f"tpdu = {window.tpdu}",
                where=where,
                remedy=f"Set tpdu to {found.mtu}, or ip link set {found.name} mtu {window.tpdu}, at every end",
            )
        return self.over(found.address)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What both ends set before they connect. `rate` in kbit/s, `recovery_ms` how long a lost packet can be asked for,
    `tpdu` bytes of an IP packet, `hops` routers plus one, `buffer` bytes of the kernel's buffer.
    """

    rate: int
    recovery_ms: int
    tpdu: int
    hops: int = 1
    buffer: int = 4 << 20

    @property
    def size(self) -> int:
        """Bytes of memory that the window may take at this end."""
        return self.rate * self.recovery_ms // 8

    def faults(self) -> Iterator[tuple[str, str, object]]:
        """What libpgm could not live with: the key, what is allowed, what was found."""
        if not 1 <= self.rate <= RATE_MAX:
            yield "rate", f"1 to {RATE_MAX:,} kbit/s, which is as far as libzmq reckons", self.rate
        if not 10 <= self.recovery_ms <= 60_000:
            yield "recovery", "10ms to 60s", f"{self.recovery_ms} ms"
        if not TPDU_MIN <= self.tpdu <= TPDU_MAX:
            yield "tpdu", f"{TPDU_MIN} to {TPDU_MAX} bytes, at most the MTU of every link", self.tpdu
        if not 1 <= self.hops <= HOPS_MAX:
            yield "hops", f"1 (this network) to {HOPS_MAX}", self.hops
        if not 64 << 10 <= self.buffer <= 1 << 30:
            yield "buffer", "64KiB to 1GiB", f"{self.buffer:,} bytes"
        if self.size > WINDOW_MAX:
            found = f"{self.size:,} bytes: {self.rate:,} kbit/s for {self.recovery_ms} ms"
            yield "recovery", f"a window (rate x recovery) of at most {WINDOW_MAX:,} bytes", found

    def apply(self, to: zmq.Socket[bytes]) -> None:
        """Before it is bound or connected."""
        to.setsockopt(zmq.RATE, self.rate)
        to.setsockopt(zmq.RECOVERY_IVL, self.recovery_ms)
        to.setsockopt(zmq.MULTICAST_MAXTPDU, self.tpdu)
        to.setsockopt(zmq.MULTICAST_HOPS, self.hops)
        to.setsockopt(zmq.SNDBUF, self.buffer)
        to.setsockopt(zmq.RCVBUF, self.buffer)


def parse_group(text: str, *, where: str | None = None) -> Group:
    """Read an address of PGM. Raises ConfigError naming what is allowed."""
    match = re.fullmatch(
        r"(?P<transport>e?pgm)://(?:(?P<interface>[A-Za-z0-9_.@-]{1,15});)?(?P<group>[0-9.]{7,15}):(?P<port>\d{1,5})",
        text,
        re.ASCII,
    )
    if match is None:
        raise ConfigError("not an address of PGM", expected=_ALLOWED, found=repr(text), where=where)
    port = int(match["port"])
    if not 1 <= port <= 65_535:
        raise ConfigError("no such port", expected="1 to 65535", found=port, where=where)
    return Group(match["transport"], match["interface"] or "", check_group(match["group"], where=where), port)


def require(group: Group, *, where: str | None = None) -> None:
    """That this Python can do it.

    :raises HostError: pyzmq has no PGM, or raw sockets are not allowed; the remedy is in the text.
    """
    if not zmq.has("pgm"):
        raise HostError(
            f"{group.transport} needs a pyzmq that has PGM",
            expected="one that was built on a libzmq with OpenPGM, as Debian's is",
            found=f"pyzmq {zmq.__version__} with libzmq {zmq.zmq_version()}, without",
            where=where,
            remedy="As root: make pgm (deploy/install-pgm.sh), then .venv-pgm/bin/feed and .venv-pgm/bin/bots",
        )
    if group.transport == "pgm":
        _require_raw(group, where)


def _require_raw(group: Group, where: str | None) -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, 113).close()  # IPPROTO_PGM
    except PermissionError:
        raise HostError(
            "pgm:// needs raw sockets, which this process may not have",
            expected="CAP_NET_RAW",
            found=str(group),
            where=where,
            remedy="Run it as root or give it CAP_NET_RAW (AmbientCapabilities= of systemd); epgm:// needs neither",
        ) from None
