"""PGM by ZeroMQ, for both ends: is it there, over which interface, and what must be set before libpgm sees the address.

libpgm refuses some names of interfaces, so the interface is turned into its IPv4 address; the two ends must agree on
rate and recovery, by which both bound their windows. RFC 3208 is PGM; epgm is the same within UDP, and needs no
privilege.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from feed.errors import HostError
from feed.multicast import PGM, Group, Window, parse_group
from feed.wire.interfaces import choose

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PGM", "Group", "Window", "apply", "guard", "here", "parse_group", "require"]

GUARD_S = 1.0
"""How long libzmq's thread may take to open its socket."""

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_UDP_BYTES, _PGM_BYTES = 8, 16
_LONG_ENOUGH = (
    (0x80, 0, 0, 0),  # A = length, the header of UDP included (linux/filter.h: BPF_LD | BPF_W | BPF_LEN)
    (0x35, 0, 1, _UDP_BYTES + _PGM_BYTES),  # BPF_JMP | BPF_JGE | BPF_K
    (0x06, 0, 0, 0xFFFFFFFF),  # BPF_RET: all of it
    (0x06, 0, 0, 0),  # nothing
)


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


def guard(group: Group) -> bool:
    """Let the kernel drop what is shorter than PGM's header, at the socket that libpgm has on the group's port: at an
    empty datagram, such as scanners of ports send, it would end this process. True once that is so.

    To be called after bind or connect; for epgm, since only UDP has ports.
    """
    deadline = time.monotonic() + GUARD_S
    while not (found := list(_sockets(group.port))) and time.monotonic() < deadline:
        time.sleep(0.001)
    code = b"".join(struct.pack("HBBI", *each) for each in _LONG_ENOUGH)
    program = ctypes.create_string_buffer(code, len(code))
    for each in found:
        with each:
            each.setsockopt(
                socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_LONG_ENOUGH), ctypes.addressof(program))
            )
    return bool(found)


def _sockets(port: int) -> Iterator[socket.socket]:
    """Copies of this process's sockets for UDP that are bound to `port`."""
    for place in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            if not str(place.readlink()).startswith("socket:"):
                continue
            each = socket.socket(fileno=os.dup(int(place.name)))
            if each.family == socket.AF_INET and each.type == socket.SOCK_DGRAM and each.getsockname()[1] == port:
                yield each
            else:
                each.close()
