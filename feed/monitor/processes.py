"""What the kernel counts for the agents' processes: /proc/PID/stat, statm and task/*/status, see proc(5)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ProcessFigures", "Processes"]

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessFigures(NamedTuple):
    """Since the process began, all of its threads together; `cpu_ns` to the kernel's clock tick, 10 ms."""

    cpu_ns: int
    resident_bytes: int
    voluntary: int
    involuntary: int
    major: int
    minor: int


class Processes:
    """Figures of processes that are asked for time and again. Remembers what ended threads had: totals only grow."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._switches: dict[int, dict[str, tuple[int, int]]] = {}

    def figures(self, pids: Iterable[int]) -> dict[int, ProcessFigures]:
        """Those of each process that lives and may be looked at."""
        found = {pid: figures for pid in set(pids) if (figures := self._of(pid)) is not None}
        self._switches = {pid: threads for pid, threads in self._switches.items() if pid in found}
        return found

    def _of(self, pid: int) -> ProcessFigures | None:
        home = self._proc / str(pid)
        try:
            # After the name in brackets, which may hold anything, field 3 is the first.
            fields = (home / "stat").read_bytes().rpartition(b")")[2].split()
            minor, major, user, system = (int(fields[number - 3]) for number in (10, 12, 14, 15))
            resident = int((home / "statm").read_bytes().split()[1]) * _PAGE_BYTES
            threads = self._switches.setdefault(pid, {})
            for thread in (home / "task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
                    threads[thread.name] = _switches(thread / "status")
        except (OSError, IndexError, ValueError):
            return None
        return ProcessFigures(
            cpu_ns=(user + system) * _TICK_NS,
            resident_bytes=resident,
            voluntary=sum(voluntary for voluntary, _ in threads.values()),
            involuntary=sum(involuntary for _, involuntary in threads.values()),
            major=major,
            minor=minor,
        )


def _switches(status: Path) -> tuple[int, int]:
    """(voluntary, involuntary): the last two lines."""
    voluntary, involuntary = status.read_bytes().splitlines()[-2:]
    return int(voluntary.rpartition(b":")[2]), int(involuntary.rpartition(b":")[2])
