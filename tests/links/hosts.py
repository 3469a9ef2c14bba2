"""Test hosts: those of the benchmarks (feed/bench/hosts.py) with boot ids of their own, and cables that go wrong.

    bot1 ── eth0 ══ port ══ emulator ══ tap ══ wire ── bridge        (hosts.worsen(1, ...))

Needs root and iproute2; who has neither skips, in CI fails. All of it goes with `close`, the emulators too.
"""

from __future__ import annotations

import contextlib
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

from feed.bench import hosts as bench
from feed.bench.hosts import FEED_ADDRESS, Host, ip_batch, run
from tests.deploy.needs import needed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FEED_ADDRESS", "Cable", "Host", "Hosts", "hosts"]

MILLION = 1_000_000


@dataclass
class Cable:
    """A bot's, through the emulator."""

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
        """Pull it; how many packets were seen, dropped, doubled, swapped, delayed."""
        if not self.figures:
            told, _ = self.process.communicate(timeout=20)
            self.figures = orjson.loads(told)
        return self.figures


class Hosts(bench.Hosts):
    """One feed host and `bots` bot hosts, which a bot takes for other machines than the feed's."""

    def __init__(self, bots: int = 1) -> None:
        needed("ip")
        if os.geteuid() != 0:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("network namespaces need root")
        self._folder = Path(tempfile.mkdtemp(prefix="tickcast-hosts-"))
        self._cables: list[Cable] = []
        self._emulator: Path | None = None
        super().__init__(bots)

    def boot(self, bot: int) -> Path:
        file = self._folder / f"{bot}.boot"
        file.write_text(f"{uuid.uuid4()}\n")
        return file

    def worsen(self, bot: int = 0, seed: int = 1) -> Cable:
        """Put the emulator into a bot's cable; it treats nothing badly before it is told to."""
        i = len(self._cables)
        program = self._emulator = self._emulator or self._compile()
        file = self._folder / f"{i}.touched"
        ip_batch(
            self.switch,
            f"link set port{bot} nomaster",
            f"link add wire{i} type veth peer name tap{i}",
            f"link set wire{i} master bridge up",
            f"link set tap{i} up",
        )
        process = subprocess.Popen(
            [*self.switch.within, str(program), f"tap{i}", f"port{bot}", str(seed), str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        cable = Cable(process, file)
        self._cables.append(cable)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return cable

    def close(self) -> None:
        for cable in self._cables:
            cable.process.kill()
            cable.process.communicate()
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _compile(self) -> Path:
        source = Path(__file__).with_name("emulator.c")
        program = self._folder / "emulator"
        run("cc", "-O2", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(program))
        return program


@contextlib.contextmanager
def hosts(bots: int = 1) -> Iterator[Hosts]:
    """Hosts for the length of a block."""
    with Hosts(bots) as made:
        yield made
