"""Where multicast goes and how much of it is kept: addresses of groups, and PGM's window. Pure: nothing is looked up.

libpgm aborts the process at some addresses that it does not like (libzmq #784, #2585, #4501), so an address is taken
apart here, and every number is within what libzmq 4.3 can reckon with.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from feed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PGM", "RATE_MAX", "Group", "Window", "check_group", "parse_group"]

PGM = ("epgm", "pgm")
"""Transports of PGM: within UDP, and as a protocol of its own."""

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

    def over(self, interface: str) -> Group:
        """The same group over another interface."""
        return Group(self.transport, interface, self.host, self.port)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What both ends set before they connect. `rate` in kbit/s, `recovery_ms` how long a lost packet can be asked for,
    `tpdu` bytes of an IP packet, `hops` routers plus one, `buffer` bytes of the kernel's buffer.
    """

    rate: int = 400_000
    recovery_ms: int = 500
    tpdu: int = 1400
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


def check_group(text: str, *, where: str | None = None) -> str:
    """`text` if it is an IPv4 multicast group that may be used. Raises ConfigError."""
    expected = "a group of 224.0.1.0 to 239.255.255.255, within one's own network 239.192.0.0/14"
    try:
        group = ipaddress.IPv4Address(text)
    except ValueError:
        raise ConfigError("not a multicast group", expected=expected, found=repr(text), where=where) from None
    if not group.is_multicast:
        raise ConfigError("not a multicast group", expected=expected, found=repr(text), where=where)
    if group in ipaddress.IPv4Network("224.0.0.0/24"):
        # Routers never pass these on, and switches flood them (RFC 5771, section 4).
        raise ConfigError("a group that is kept for routing", expected=expected, found=repr(text), where=where)
    return text
