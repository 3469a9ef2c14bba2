"""Hosts made of network namespaces on one switch, for what goes over a network: one for the feed, others for bots.

    feed ── eth0 ══ port ──┐
                         bridge          all in a namespace of its own, so no name can be taken
    bot0 ── eth0 ══ port ──┤             10.99.0.1 is the feed's, 10.99.0.10 and on are the bots'
    bot1 ── eth0 ══ port ──┘

Multicast (239/8) goes over eth0, and nothing leaves. Needs root and iproute2. `close` removes all of it: namespaces
take their interfaces along.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from feed.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FEED_ADDRESS", "Host", "Hosts", "ip_batch", "run"]

FEED_ADDRESS = "10.99.0.1"
GROUPS = "239.0.0.0/8"

_PREFIX = "tickcast-"
_CLONE_NEWNET = 0x40000000  # linux/sched.h; os.setns is Python 3.12's
_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Host:
    """A network namespace with one interface."""

    namespace: str
    address: str
    interface: str = "eth0"
    boot: Path | None = None
    """Holds its boot id, by which bots know that they are not on the feed's host; None: this machine's."""

    @property
    def within(self) -> tuple[str, ...]:
        """The command that runs another one on this host."""
        inside = ("ip", "netns", "exec", self.namespace)
        if self.boot is None:
            return inside
        script = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
        return (*inside, "sh", "-c", script, str(self.boot))

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and those that it starts, are on this host: sockets made here, a ZeroMQ context's threads."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
        try:
            _enter(inside)
            yield
        finally:
            _enter(before)
            os.close(inside)
            os.close(before)

    def run(self, *args: str) -> str:
        """Run a command there; what it printed."""
        return run(*self.within, *args)


class Hosts:
    """One feed host and `bots` bot hosts, from `with` to the end of its block.

    :ivar feed: :ivar bots: the hosts. :ivar switch: where the bridge and its ports are.
    :raises HostError: not root, or no iproute2.
    """

    def __init__(self, bots: int) -> None:
        if os.geteuid() != 0:
            raise HostError("hosts of network namespaces need root", remedy="Run it as root: sudo")
        if shutil.which("ip") is None:
            raise HostError("there is no ip here", remedy="As root: apt-get install iproute2")
        _clear_left_overs()
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        self.switch = Host(f"{name}-switch", "")
        self.feed = Host(f"{name}-feed", FEED_ADDRESS)
        self.bots = [Host(f"{name}-bot{i}", f"10.99.0.{10 + i}", boot=self.boot(i)) for i in range(bots)]
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def boot(self, bot: int) -> Path | None:
        """A file with the boot id of a bot's host; None: it is that of this machine."""
        return None

    def close(self) -> None:
        """Remove everything; nothing that runs in these namespaces has a network after this."""
        for host in (self.feed, *self.bots, self.switch):
            subprocess.run(["ip", "netns", "del", host.namespace], check=False, capture_output=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _build(self) -> None:
        for host in (self.switch, self.feed, *self.bots):
            run("ip", "netns", "add", host.namespace)
        ports = [("feed", self.feed), *((f"port{i}", host) for i, host in enumerate(self.bots))]
        ip_batch(
            self.switch,
            # Without a querier a snooping bridge may stop forwarding groups after minutes.
            "link add bridge type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
            "link set bridge up",
            *(f"link add {port} type veth peer name eth0 netns {host.namespace}" for port, host in ports),
            *(f"link set {port} master bridge up" for port, _ in ports),
        )
        for _, host in ports:
            ip_batch(
                host,
                "link set lo up",
                f"address add {host.address}/24 dev eth0",
                "link set eth0 up",
                f"route add {GROUPS} dev eth0",
            )


def _clear_left_overs() -> None:
    """Remove the hosts of processes that were killed."""
    for place in Path("/run/netns").glob(f"{_PREFIX}*"):
        pid = place.name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            subprocess.run(["ip", "netns", "del", place.name], check=False, capture_output=True)


def run(*args: str, told: str | None = None) -> str:
    """Run a command and give what it printed. Raises HostError with what it complained of."""
    done = subprocess.run(args, input=told, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostError("a command failed", found=done.stderr.strip(), where=" ".join(args))
    return done.stdout


def ip_batch(host: Host, *lines: str) -> None:
    """Several commands of ip(8) on a host, in one process."""
    run("ip", "-n", host.namespace, "-batch", "-", told="\n".join(lines) + "\n")


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
