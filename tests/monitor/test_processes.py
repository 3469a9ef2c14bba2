"""feed.monitor.processes: of a made-up /proc, and of this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from feed.monitor.processes import Processes, ProcessFigures

if TYPE_CHECKING:
    from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")


def process(proc: Path, pid: int, threads: dict[int, tuple[int, int]]) -> None:
    """minor faults 7, major 3, 20 clock ticks in user mode and 5 in the kernel, 100 pages resident."""
    home = proc / str(pid)
    (home / "task").mkdir(parents=True, exist_ok=True)
    (home / "stat").write_text(f"{pid} (a) b) R 1 1 1 0 -1 0 7 0 3 0 20 5 0 0 20 0 1 0 99 0 0\n")
    (home / "statm").write_text("9999 100 50 1 0 1 0\n")
    for thread, (voluntary, involuntary) in threads.items():
        (home / "task" / str(thread)).mkdir(exist_ok=True)
        (home / "task" / str(thread) / "status").write_text(
            f"Name:\tx\nvoluntary_ctxt_switches:\t{voluntary}\nnonvoluntary_ctxt_switches:\t{involuntary}\n"
        )


def test_figures_of_all_threads_together(tmp_path: Path) -> None:
    process(tmp_path, 12, {12: (5, 1), 13: (50, 10)})
    assert Processes(tmp_path).figures([12, 12, 77]) == {12: ProcessFigures(25 * TICK_NS, 100 * PAGE, 55, 11, 3, 7)}


def test_what_an_ended_thread_had_still_counts(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    process(tmp_path, 12, {12: (5, 1), 13: (50, 10)})
    processes.figures([12])
    (tmp_path / "12/task/13/status").unlink()
    (tmp_path / "12/task/13").rmdir()
    process(tmp_path, 12, {12: (6, 1), 14: (1, 0)})
    assert processes.figures([12])[12][2:4] == (57, 11)
    assert processes.figures([]) == {}
    assert processes.figures([12])[12][2:4] == (7, 1)


def test_a_process_that_may_not_be_looked_at(tmp_path: Path) -> None:
    process(tmp_path, 12, {12: (5, 1)})
    (tmp_path / "12/statm").write_text("")
    assert Processes(tmp_path).figures([12]) == {}


def test_this_process() -> None:
    found = Processes().figures([os.getpid()])[os.getpid()]
    assert found.cpu_ns > 0
    assert found.resident_bytes > 1 << 20
    assert found.minor > 0
