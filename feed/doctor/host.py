"""What a check may look at. Everything comes from here, so that tests put a made-up host in place of this one.

Files are read under a root folder; what is no file (system calls, libzmq, addresses, a running feed) is a callable that
can be replaced. Nothing here needs root's rights, and nothing changes the host.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import socket
import struct
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import zmq

from feed import ports, scheduling
from feed.config import FeedConfig
from feed.errors import AddressInUse
from feed.log.observer import LogFigures, log_figures
from feed.monitor.hostclock import Timex, timex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feed.ports import Endpoint

__all__ = ["Coalescing", "Host", "Libzmq", "Timex", "processors"]


class Coalescing(NamedTuple):
    """How a network card gathers packets into one interrupt (struct ethtool_coalesce of linux/ethtool.h)."""

    rx_usecs: int
    rx_frames: int
    adaptive: bool


class Libzmq(NamedTuple):
    """The library that pyzmq loaded: its version and what it was built with."""

    version: tuple[int, int, int]
    pyzmq: str
    has: frozenset[str]


def _space(path: Path) -> tuple[int, int]:
    """Bytes of the file system that `path` will be on, and those free for us."""
    there = next(each for each in (path, *path.parents) if each.exists())
    vfs = os.statvfs(there)
    return vfs.f_blocks * vfs.f_frsize, vfs.f_bavail * vfs.f_frsize


def _run(words: Sequence[str]) -> str:
    """What a program prints. OSError: it is not there, failed, or took longer than 2 s."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=2, check=True, env=os.environ | {"LC_ALL": "C"}
        )
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or getattr(error, "stdout", None) or str(error)
        raise OSError(errno.EIO, str(said).strip(), words[0]) from None
    return done.stdout


def _taken(endpoint: Endpoint) -> str | None:
    """Why `endpoint` can't be bound now; None if it can. A TCP address is bound for a moment, as libzmq would."""
    if endpoint.transport == "ipc":
        try:
            ports.refuse_taken(endpoint, where=str(endpoint))
        except AddressInUse as error:
            return str(error.found)
        return None
    host = {"*": "0.0.0.0", "localhost": "127.0.0.1"}.get(endpoint.host, endpoint.host)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, endpoint.port))
        except socket.gaierror:  # the name of an interface, which libzmq knows
            who = ports.holder(endpoint.host, endpoint.port)
            return f"held by {who}" if who else None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return (
                    f"held by {ports.holder(endpoint.host, endpoint.port) or 'a process that could not be identified'}"
                )
            return error.strerror or str(error)
    return None


def _short_slices() -> bool:
    """Whether the kernel grants a slice of 0.1 ms; tried in a thread that ends."""
    granted: list[bool] = []
    thread = threading.Thread(target=lambda: granted.append(scheduling.short_slice(100_000)))
    thread.start()
    thread.join()
    return granted == [True]


_SIOCETHTOOL = 0x8946
_ETHTOOL_GCOALESCE = 0x0E


def _coalescing(interface: str) -> Coalescing:
    """Ask the driver; reading needs no rights. OSError: it has no such thing."""
    words = (ctypes.c_uint32 * 64)(_ETHTOOL_GCOALESCE)
    request = struct.pack("16sP16x", interface.encode()[:15], ctypes.addressof(words))  # struct ifreq
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
    return Coalescing(rx_usecs=words[1], rx_frames=words[2], adaptive=bool(words[10]))


def _libzmq() -> Libzmq:
    major, minor, patch = zmq.zmq_version_info()[:3]
    has = frozenset(name for name in ("ipc", "curve", "pgm", "norm", "draft") if zmq.has(name))
    return Libzmq((int(major), int(minor), int(patch)), zmq.__version__, has)


@dataclass(frozen=True, kw_only=True)
class Host:
    """This host, or with other arguments a made-up one; and what is to run on it."""

    config: FeedConfig = field(default_factory=FeedConfig)
    root: Path = Path("/")
    space: Callable[[Path], tuple[int, int]] = _space
    timex: Callable[[], Timex] = timex
    limit: Callable[[int], tuple[int, int]] = resource.getrlimit
    run: Callable[[Sequence[str]], str] = _run
    taken: Callable[[Endpoint], str | None] = _taken
    short_slices: Callable[[], bool] = _short_slices
    coalescing: Callable[[str], Coalescing] = _coalescing
    libzmq: Callable[[], Libzmq] = _libzmq
    log: Callable[[Path], LogFigures | None] = log_figures
    pause: Callable[[float], None] = time.sleep

    def text(self, path: str) -> str:
        """A file's content, stripped. OSError, with `path` as its name: it can't be read."""
        try:
            return (self.root / path.lstrip("/")).read_text(errors="replace").strip()
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None

    def number(self, path: str) -> int:
        """A file that holds one whole number. OSError, ValueError."""
        return int(self.text(path))

    def exists(self, path: str) -> bool:
        return (self.root / path.lstrip("/")).exists()

    def matching(self, pattern: str) -> list[str]:
        """Absolute paths, as on the host, that match a glob pattern."""
        try:
            return sorted(f"/{each.relative_to(self.root)}" for each in self.root.glob(pattern.lstrip("/")))
        except OSError:
            return []

    def status(self, name: str) -> str:
        """One field of /proc/self/status. KeyError: there is none of that name."""
        return _fields(self.text("/proc/self/status"))[name]

    def online(self) -> set[int]:
        """The processors that run."""
        return processors(self.text("/sys/devices/system/cpu/online"))

    def allowed(self) -> set[int]:
        """The processors on which this process runs unless it says otherwise: its affinity within its cpuset."""
        return processors(self.status("Cpus_allowed_list"))

    def groups(self) -> list[str]:
        """The folders of this process' cgroup (v2) and of those above it, the innermost first; [] without v2."""
        if not self.exists("/sys/fs/cgroup/cgroup.controllers"):
            return []
        own = next(line[3:] for line in self.text("/proc/self/cgroup").splitlines() if line.startswith("0::"))
        path = Path(own)
        return ["/sys/fs/cgroup" + ("" if str(each) == "/" else str(each)) for each in (path, *path.parents)]

    def pinnable(self) -> set[int]:
        """The processors that a thread may be pinned to, isolated ones too: those of the cpuset, as far as it tells."""
        for group in self.groups():
            if self.exists(f"{group}/cpuset.cpus.effective"):
                return processors(self.text(f"{group}/cpuset.cpus.effective"))
        return self.online()

    def running(self) -> bool:
        """Whether this configuration's feed runs now."""
        log = self.log(self.config.directory)
        return log is not None and log.state == "open" and log.writer_alive


def processors(text: str) -> set[int]:
    """A list such as 0-3,8 (cpuset(7), "List format"). ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first:
            found |= set(range(int(first), int(last or first) + 1))
    return found


def _fields(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
