"""What a check says, and what a check is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feed.doctor.host import Host

__all__ = ["Check", "Finding", "Status", "Verdict", "better", "broken", "listed", "ok", "size", "unknown"]

Status = Literal["ok", "better", "broken", "unknown"]
"""ok; could be better; broken: the feed will not run, or will lose something; unknown: this could not be read."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report. ``command`` changes what was found; "" where no command does, or nothing need change."""

    subject: str
    check: str
    status: Status
    found: str
    why: str
    command: str


class Verdict(NamedTuple):
    """What a look at the host gave."""

    status: Status
    found: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """``why``: what it costs in time, or what is lost. ``look`` may raise OSError, ValueError, LookupError or an error
    of ours: then what it wanted to read is not there or not understood, and the finding is "unknown"."""

    name: str
    why: str
    look: Callable[[Host], Verdict]


def ok(found: str) -> Verdict:
    return Verdict("ok", found)


def better(found: str, command: str = "") -> Verdict:
    return Verdict("better", found, command)


def broken(found: str, command: str = "") -> Verdict:
    return Verdict("broken", found, command)


def unknown(found: str, command: str = "") -> Verdict:
    return Verdict("unknown", found, command)


def size(nbytes: float) -> str:
    """Bytes as people read them: 208 KiB, 4 MiB, 1.5 GiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if nbytes < 1024:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1024
    return f"{nbytes:,.1f} TiB"


def listed(processors: set[int]) -> str:
    """Processors as the kernel lists them: 0-3,8."""
    runs: list[list[int]] = []
    for each in sorted(processors):
        if runs and runs[-1][-1] == each - 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    texts: Sequence[str] = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return ",".join(texts) or "none"
