"""Test hosts: one for the feed, others for bots, network namespaces on one switch; and cables that are not perfect.

    feed ── eth0 ══ port ──┐
                         bridge          all in a namespace of its own, so no name can be taken
    bot0 ── eth0 ══ port ──┤             10.99.0.1 is the feed's, 10.99.0.10 and on are the bots'
    bot1 ── eth0 ══ outer ═ emulator ═ inner ══ port        (hosts.worsen(1, ...))

Multicast (239/8) goes over eth0, and nothing leaves. Needs root and iproute2; who has neither skips, in CI fails.
All of it goes with `close`: namespaces take their interfaces along.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.deploy.needs import needed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Host", "Hosts", "Link", "hosts"]

FEED_ADDRESS = "10.99.0.1"
GROUPS = "239.0.0.0/8"
MILLION = 1_000_000

_CLONE_NEWNET = 0x40000000
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
        return _run(*self.within, *args)


@dataclass
class Link:
    """A bot's cable, through the emulator."""

    process: subprocess.Popen[str]
    file: Path
    figures: dict[str, int] = field(default_factory=dict)

    def treat(
        self, *, drop: float = 0, double: float = 0, swap: float = 0, delay: float = 0, delay_us: int = 0
    ) -> None:
        """From now on so: shares of the multicast packets on their way to the bot, 0.01 is one in a hundred."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        shares = " ".join(str(round(share * MILLION)) for share in (drop, double, swap, delay))
        self.process.stdin.write(f"{shares} {delay_us}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def touched(self) -> list[tuple[str, int, bytes]]:
        """Each packet touched so far: what was done, the length of its UDP payload, and the first 40 bytes of that."""
        lines = self.file.read_text().splitlines()
        return [(action, int(length), bytes.fromhex(text)) for action, length, text in map(str.split, lines)]

    def close(self) -> dict[str, int]:
        """Pull the cable; how many packets were seen, dropped, doubled, swapped, delayed."""
        if not self.figures:
            told, _ = self.process.communicate(timeout=20)
            self.figures = orjson.loads(told)
        return self.figures


class Hosts:
    """One feed host and `bots` bot hosts.

    :ivar feed: :ivar bots: the hosts.
    """

    def __init__(self, bots: int = 1) -> None:
        needed("ip")
        if os.geteuid() != 0:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("network namespaces need root")
        name = f"tickcast-{os.getpid()}-{next(_numbers)}"
        self._folder = Path(tempfile.mkdtemp(prefix="tickcast-hosts-"))
        self._switch = Host(f"{name}-switch", "")
        self.feed = Host(f"{name}-feed", FEED_ADDRESS)
        self.bots = [Host(f"{name}-bot{i}", f"10.99.0.{10 + i}", boot=self._boot(i)) for i in range(bots)]
        self._links: list[Link] = []
        self._emulator: Path | None = None
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def worsen(self, bot: int = 0, seed: int = 1) -> Link:
        """Put the emulator into a bot's cable; it treats nothing badly before it is told to."""
        switch = self._switch
        i = len(self._links)
        program = self._emulator = self._emulator or self._compile()
        file = self._folder / f"{i}.touched"
        _batch(
            f"-n {switch.namespace}",
            f"link set port{bot} nomaster",
            f"link add wire{i} type veth peer name tap{i}",
            f"link set wire{i} master bridge up",
            f"link set tap{i} up",
        )
        process = subprocess.Popen(
            [*switch.within, str(program), f"tap{i}", f"port{bot}", str(seed), str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        link = Link(process, file)
        self._links.append(link)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return link

    def close(self) -> None:
        """Remove everything; nothing that runs in these namespaces has a network after this."""
        for link in self._links:
            link.process.kill()
            link.process.communicate()
        for host in (self.feed, *self.bots, self._switch):
            subprocess.run(["ip", "netns", "del", host.namespace], check=False, capture_output=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _boot(self, bot: int) -> Path:
        file = self._folder / f"{bot}.boot"
        file.write_text(f"{uuid.uuid4()}\n")
        return file

    def _build(self) -> None:
        switch = self._switch
        for host in (switch, self.feed, *self.bots):
            _run("ip", "netns", "add", host.namespace)
        # Without a querier a snooping bridge may stop forwarding groups after minutes.
        _batch(
            f"-n {switch.namespace}",
            "link add bridge type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
            "link set bridge up",
            f"link add feed type veth peer name eth0 netns {self.feed.namespace}",
            "link set feed master bridge up",
            *(
                line
                for i, host in enumerate(self.bots)
                for line in (
                    f"link add port{i} type veth peer name eth0 netns {host.namespace}",
                    f"link set port{i} master bridge up",
                )
            ),
        )
        for host in (self.feed, *self.bots):
            _batch(
                f"-n {host.namespace}",
                "link set lo up",
                f"address add {host.address}/24 dev eth0",
                "link set eth0 up",
                f"route add {GROUPS} dev eth0",
            )

    def _compile(self) -> Path:
        source = Path(__file__).with_name("emulator.c")
        program = self._folder / "emulator"
        _run("cc", "-O2", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(program))
        return program


@contextlib.contextmanager
def hosts(bots: int = 1) -> Iterator[Hosts]:
    """Hosts for the length of a block."""
    made = Hosts(bots)
    try:
        yield made
    finally:
        made.close()


def _run(*args: str, told: str | None = None) -> str:
    done = subprocess.run(args, input=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(args)}: {done.stderr}"
    return done.stdout


def _batch(options: str, *lines: str) -> None:
    """Several commands of ip(8) in one process."""
    _run("ip", *options.split(), "-batch", "-", told="\n".join(lines) + "\n")


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
