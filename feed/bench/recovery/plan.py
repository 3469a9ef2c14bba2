"""What ``feed bench recovery`` is asked to do: the sizes are those that the bounds are meant for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from feed.bench.plan import LOG_BYTES
from feed.errors import ConfigError

__all__ = ["MEASUREMENTS", "Append", "Catchup", "Fill", "Join", "Options", "Restart", "Stalled"]

MEASUREMENTS: Final = ("join", "fill", "stalled", "append", "catchup", "restart")

_FEW_ROUNDS = 3


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Bots that come late: symbols with a state each, ticks/s that flow meanwhile."""

    symbols: int = 10_000
    rate: float = 100_000.0


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """A gap of `ticks` in one topic while `rate` flows. `zipf` 1.5: that topic has a third of it, and is soon gone."""

    ticks: int = 100_000
    rate: float = 50_000.0
    symbols: int = 100
    zipf: float = 1.5


class Stalled(msgspec.Struct, frozen=True, kw_only=True):
    """`bots`, one of which is stopped. Before each window of `window_s`, `before` ticks go by: more than the kernel
    keeps for one connection (some 4 MB), and with `hwm` frames its queue in the publisher is full too.
    """

    bots: int = 24
    rate: float = 10_000.0
    symbols: int = 100
    window_s: float = 3.0
    before: int = 40_000
    hwm: int = 1_000


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """`ticks` that the writer appends in one round; the agent takes three quarters of a log."""

    ticks: int = 4_000_000


class Catchup(msgspec.Struct, frozen=True, kw_only=True):
    """An archive of `ticks`; over tcp the last `tcp_ticks` of them."""

    ticks: int = 10_000_000
    tcp_ticks: int = 4_000_000


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """`steady_s` lie between two kills of an agent, for the supervisor gives one that dies again sooner a pause."""

    rate: float = 10_000.0
    symbols: int = 100
    steady_s: float = 10.5


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `folder`: where archives are written, on the disk that is meant."""

    only: tuple[str, ...] = MEASUREMENTS
    rounds: int = 7
    folder: Path = Path()
    log_bytes: int = LOG_BYTES
    join: Join = Join()
    fill: Fill = Fill()
    stalled: Stalled = Stalled()
    append: Append = Append()
    catchup: Catchup = Catchup()
    restart: Restart = Restart()

    @property
    def few(self) -> int:
        """Rounds of what takes long and is compared with nothing that changes from one second to the next."""
        return min(self.rounds, _FEW_ROUNDS)

    def check(self) -> None:
        """:raises ConfigError: it names the option."""
        for each in self.only:
            if each not in MEASUREMENTS:
                raise ConfigError("no such measurement", expected=", ".join(MEASUREMENTS), found=each, where="--only")
        if self.rounds < 1:
            raise ConfigError("not a number of rounds", expected="at least 1", found=self.rounds, where="--rounds")
        if not self.folder.is_dir() or not os.access(self.folder, os.W_OK | os.X_OK):
            raise ConfigError(
                "not a place for archives",
                expected="a folder that can be written",
                found=str(self.folder),
                where="--dir",
            )
