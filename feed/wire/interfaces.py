"""The network interfaces of this host, for multicast: found by name, by address, or by the way to a group.

Linux, IPv4: ioctls of netdevice(7) on a socket, so a thread in another network namespace sees that one's.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from dataclasses import dataclass

from feed.errors import HostError

__all__ = ["Interface", "choose", "interfaces"]

_SIOCGIFCONF, _SIOCGIFFLAGS, _SIOCGIFMTU = 0x8912, 0x8913, 0x8921  # linux/sockios.h
_UP, _LOOPBACK, _MULTICAST = 0x1, 0x8, 0x1000  # linux/if.h
_IFREQ_BYTES = 40
_IFREQS = 1024


@dataclass(frozen=True, slots=True)
class Interface:
    """One IPv4 address of an interface. `mtu` in bytes of an IP packet."""

    name: str
    address: str
    mtu: int
    up: bool
    loopback: bool
    multicast: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


def interfaces() -> list[Interface]:
    """Every interface that has an IPv4 address, once for each address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        room = array.array("B", bytes(_IFREQS * _IFREQ_BYTES))
        answer = fcntl.ioctl(probe, _SIOCGIFCONF, struct.pack("iP", len(room), room.buffer_info()[0]))
        used = struct.unpack("iP", answer)[0]
        found = []
        for at in range(0, used, _IFREQ_BYTES):
            each = room[at : at + _IFREQ_BYTES].tobytes()
            label = each[:16].partition(b"\0")[0]
            name = label.partition(b":")[0]  # an address may have a label of its own: eth0:1
            flags = struct.unpack_from("H", fcntl.ioctl(probe, _SIOCGIFFLAGS, name.ljust(_IFREQ_BYTES, b"\0")), 16)[0]
            mtu = struct.unpack_from("i", fcntl.ioctl(probe, _SIOCGIFMTU, name.ljust(_IFREQ_BYTES, b"\0")), 16)[0]
            found.append(
                Interface(
                    name.decode(),
                    socket.inet_ntoa(each[20:24]),
                    mtu,
                    bool(flags & _UP),
                    bool(flags & _LOOPBACK),
                    bool(flags & _MULTICAST),
                )
            )
    return found


def choose(text: str, group: str, *, where: str | None = None, loopback: bool = False) -> Interface:
    """The interface called `text`, by name or address; "": the one through which `group` is reached.

    `loopback`: one that carries no multicast by itself will do, as lo does where sender and receivers are on one host.

    :raises HostError: there is none, it is down or without multicast, or there is no route; says which there are.
    """
    known = interfaces()
    wanted = text or _towards(group, where)
    found = next((each for each in known if wanted in (each.name, each.address)), None)
    if found is None:
        raise HostError(
            "no such interface" if not _is_interface(wanted) else "an interface without an IPv4 address",
            expected=" or ".join(str(each) for each in known if each.multicast or loopback)
            or "one with an IPv4 address",
            found=repr(wanted),
            where=where,
        )
    if not found.up:
        raise HostError("the interface is down", found=str(found), where=where, remedy=f"ip link set {found.name} up")
    if not found.multicast and not (loopback and found.loopback):
        able = ", ".join(str(each) for each in known if each.multicast)
        raise HostError(
            "the interface carries no multicast", expected=able or "another one", found=str(found), where=where
        )
    return found


def _towards(group: str, where: str | None) -> str:
    """The address from which this host would send to `group`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((group, 9))
        except OSError as error:
            raise HostError(
                f"no way to the group {group}: {error.strerror}",
                where=where,
                remedy="Name the interface, or give the groups a route: ip route add 239.0.0.0/8 dev INTERFACE",
            ) from None
        return str(probe.getsockname()[0])


def _is_interface(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True
