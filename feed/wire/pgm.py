"""PGM by ZeroMQ, for both ends: is it there, over which interface, and what must be set before libpgm sees the address.

libpgm refuses some names of interfaces, so the interface is turned into its IPv4 address; the two ends must agree on
rate and recovery, by which both bound their windows. RFC 3208 is PGM; epgm is the same within UDP, and needs no
privilege.
"""

from __future__ import annotations

import socket

import zmq

from feed.errors import HostError
from feed.multicast import PGM, Group, Window, parse_group
from feed.wire.interfaces import choose

__all__ = ["PGM", "Group", "Window", "apply", "here", "parse_group", "require"]


def apply(window: Window, to: zmq.Socket[bytes]) -> None:
    """Before `to` is bound or connected."""
    to.setsockopt(zmq.RATE, window.rate)
    to.setsockopt(zmq.RECOVERY_IVL, window.recovery_ms)
    to.setsockopt(zmq.MULTICAST_MAXTPDU, window.tpdu)
    to.setsockopt(zmq.MULTICAST_HOPS, window.hops)
    to.setsockopt(zmq.SNDBUF, window.buffer)
    to.setsockopt(zmq.RCVBUF, window.buffer)


def here(group: Group, window: Window, *, where: str | None = None) -> Group:
    """`group` with the address of this host's interface, once all is well with it.

    :raises HostError: no such interface, it is down, its packets are too short, or there is no route.
    """
    found = choose(group.interface, group.host, where=where)
    if found.mtu < window.tpdu:
        raise HostError(
            "PGM's packets do not fit the interface",
            expected=f"at most {found.mtu} bytes on {found}",
            found=f"tpdu = {window.tpdu}",
            where=where,
            remedy=f"Set tpdu to {found.mtu}, or ip link set {found.name} mtu {window.tpdu}, at every end",
        )
    return group.over(found.address)


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
