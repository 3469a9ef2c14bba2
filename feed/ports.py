"""Addresses: reading endpoints, and who has a port.

An endpoint is ``tcp://HOST:PORT``, ``ipc://PATH`` or, where only TCP makes sense, ``HOST:PORT``.
IPv6 hosts stand in brackets.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from feed.errors import AddressInUse, ConfigError, HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["IPC_PATH_MAX", "Endpoint", "bind_error", "holder", "in_use", "is_address", "parse_endpoint", "refuse_taken"]

IPC_PATH_MAX = 107
"""Bytes a unix socket's path may have (sun_path is 108 with its NUL, unix(7))."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address. ``host`` and ``port`` are set for tcp, ``path`` for ipc; host ``*`` means all interfaces."""

    transport: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.transport == "ipc":
            return f"ipc://{self.path}"
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """True if nobody on another machine can reach it."""
        if self.transport == "ipc" or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def overlaps(self, other: Endpoint) -> bool:
        """True if the two can't be bound at once: same path, or same port on the same or on all interfaces."""
        if self.transport != other.transport:
            return False
        if self.transport == "ipc":
            return self.path == other.path
        everywhere = {"*", "0.0.0.0", "::"}
        same_host = _plain(self.host) == _plain(other.host) or bool({self.host, other.host} & everywhere)
        return self.port == other.port != 0 and same_host


def parse_endpoint(text: str, *, where: str | None = None, bare: bool = False) -> Endpoint:
    """Read an endpoint; with `bare`, ``HOST:PORT`` without a scheme. Raises ConfigError naming what is allowed."""
    allowed = '"HOST:PORT"' if bare else '"tcp://HOST:PORT" or "ipc://PATH"'

    def refuse(what: str, remedy: str | None = None) -> ConfigError:
        return ConfigError(what, expected=allowed, found=repr(text), where=where, remedy=remedy)

    if not bare and text.startswith("ipc://"):
        path = text.removeprefix("ipc://")
        if not path.startswith(("/", "@")):
            raise refuse("the path of a unix socket must be absolute")
        if len(path.encode()) > IPC_PATH_MAX:
            raise ConfigError(
                "the path of the unix socket is too long",
                expected=f"at most {IPC_PATH_MAX} bytes",
                found=f"{len(path.encode())} bytes: {path!r}",
                where=where,
                remedy="Shorten log.root or give the publisher an endpoint of its own",
            )
        return Endpoint("ipc", path=path)
    rest = text if bare else text.removeprefix("tcp://")
    if rest == text and not bare:
        raise refuse("not an endpoint")
    match = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._*-]+)):(?P<port>\d{1,5})", rest)
    if match is None:
        raise refuse("not an endpoint")
    if match["six"] is not None:
        try:
            ipaddress.IPv6Address(match["six"])
        except ValueError:
            raise refuse("not an IPv6 address") from None
    port = int(match["port"])
    if port > 65535:
        raise refuse(f"port {port} does not exist; the last one is 65535")
    return Endpoint("tcp", host=match["six"] or match["host"], port=port)


def holder(host: str, port: int) -> str | None:
    """Who listens on this TCP port: ``"NAME (process ID)"``; "another user's process" if hidden; None if nobody does.

    Any listener counts that would keep `host` from being bound: the same address, or all interfaces.
    """
    inodes = _listening_inodes(host, port)
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        if not inodes.isdisjoint(_socket_inodes(process)):
            try:
                name = (process / "comm").read_text().strip()
            except OSError:
                name = "?"
            return f"{name} (process {process.name})"
    return "another user's process"


def refuse_taken(endpoint: Endpoint, *, where: str) -> None:
    """Raise AddressInUse if somebody answers on a unix socket: libzmq would unlink it and bind over a living server.

    TCP needs no such check, there the kernel refuses.
    """
    if endpoint.transport != "ipc":
        return
    address = endpoint.path.replace("@", "\0", 1) if endpoint.path.startswith("@") else endpoint.path
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address)
        except OSError:
            return
        credentials = struct.Struct("3i")  # struct ucred, unix(7): pid, uid, gid
        pid = credentials.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))[0]
    raise in_use(endpoint, where=where, who=f"process {pid}")


def bind_error(endpoint: Endpoint, number: int, *, where: str) -> HostError:
    """The error to raise when binding `endpoint` failed with errno `number`; `where` is the key that chose it."""
    if number == errno.EADDRINUSE:
        return in_use(endpoint, where=where)
    return HostError(
        f"can't listen on {endpoint}: {os.strerror(number)}", where=where, remedy="Choose an address of this machine"
    )


def in_use(endpoint: Endpoint, *, where: str, who: str | None = None) -> AddressInUse:
    """The error that says who has `endpoint`, `who` if that is known; `where` is the key that chose it."""
    if endpoint.transport == "tcp":
        who = who or holder(endpoint.host, endpoint.port)
    return AddressInUse(
        f"{endpoint} is taken",
        expected="a free address",
        found=f"it held by {who or 'a process that could not be identified'}",
        where=where,
        remedy=f"End that process or choose another address: --set {where}=...",
    )


def _plain(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def _listening_inodes(host: str, port: int) -> set[str]:
    listening = "0A"  # TCP_LISTEN, include/net/tcp_states.h
    wanted = _plain(host)
    found: set[str] = set()
    for table, width in (("tcp", 8), ("tcp6", 32)):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            address, hex_port = columns[1].split(":")
            if columns[3] != listening or int(hex_port, 16) != port or len(address) != width:
                continue
            bound = _address(address)
            if bound in {"0.0.0.0", "::"} or wanted in {"*", "0.0.0.0", "::", bound} or not is_address(wanted):
                found.add(columns[9])
    return found


def _socket_inodes(process: Path) -> Iterator[str]:
    """Of the sockets a process has open; none if it has ended or is not ours to look at."""
    with contextlib.suppress(OSError):
        for fd in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                link = str(fd.readlink())
                if link.startswith("socket:["):
                    yield link[8:-1]


def _address(digits: str) -> str:
    """An address as /proc/net/tcp prints it: 32-bit words in this machine's byte order."""
    order = "<" if sys.byteorder == "little" else ">"
    words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    raw = struct.pack(f"{order}{len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def is_address(host: str) -> bool:
    """Is it a number, such as 127.0.0.1 or ::1, and no name?"""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
