"""The sockets of our own multicast, at either end of a line. Linux, IPv4.

A receiver's socket is bound to its group, so that it takes no other's packets of the same port.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from feed.errors import HostError
from feed.shards import SCHEME, MoldAddress, parse_mold
from feed.wire.interfaces import choose

if TYPE_CHECKING:
    from feed.shards import Line
    from feed.wire.interfaces import Interface

__all__ = ["SCHEME", "MoldAddress", "interface_of", "open_receiver", "open_sender", "parse_mold"]

_SO_TIMESTAMPNS, _SO_RCVBUFFORCE, _SO_BUSY_POLL = 35, 33, 46  # asm-generic/socket.h: x86-64 and aarch64
_IP_MULTICAST_ALL = 49  # linux/in.h


def interface_of(line: Line, mtu: int, *, where: str) -> Interface:
    """The interface of a line, once all is well with it; `mtu` is that of the packets, `where` their publisher.

    :raises HostError: there is none, it is down, there is no route to the group, or the packets do not fit it.
    """
    found = choose(line.interface, line.group, where=f"{where}.endpoint", loopback=True)
    if found.mtu < mtu:
        raise HostError(
            "the packets do not fit the interface",
            expected=f"at most {found.mtu} bytes on {found}",
            found=f"mtu = {mtu}",
            where=f"{where}.mtu",
        )
    return found


def open_sender(line: Line, *, mtu: int, ttl: int, loopback: bool, buffer_bytes: int, where: str) -> socket.socket:
    """A socket that sends to the groups of a line. Raises HostError, as interface_of()."""
    found = interface_of(line, mtu, where=where)
    with contextlib.ExitStack() as opened:
        sending = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(found.address))
        sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, loopback)
        sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        opened.pop_all()
    return sending


def open_receiver(
    line: Line, shard: int, *, buffer_bytes: int, busy_poll_us: int = 0, where: str | None = None
) -> socket.socket:
    """A socket that has joined the group of a shard. `busy_poll_us`: how long the kernel itself may look at the network
    card when nothing is waiting, where the card and our permissions allow it.

    :raises HostError: no such interface, it is down, or there is no route to the group.
    """
    group = line.shard(shard)
    found = choose(line.interface, group, where=where, loopback=True)
    with contextlib.ExitStack() as opened:
        receiving = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        receiving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        receiving.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        for option, value in ((_SO_RCVBUFFORCE, buffer_bytes), (_SO_BUSY_POLL, busy_poll_us)):
            with contextlib.suppress(PermissionError):  # what net.core.rmem_max allows has to do then
                receiving.setsockopt(socket.SOL_SOCKET, option, value)
        try:
            receiving.bind((group, line.port))
            receiving.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            index = socket.if_nametoindex(found.name)
            joined = struct.pack("4s4si", socket.inet_aton(group), socket.inet_aton(found.address), index)
            receiving.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        except OSError as error:
            raise HostError(f"can't join the group {group}: {error.strerror}", found=str(found), where=where) from None
        opened.pop_all()
    return receiving
