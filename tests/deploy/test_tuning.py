"""The tuning scripts on a made-up host: what they show, set, undo, and that measuring leaves everything as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.processes import REPOSITORY, wait_for

if TYPE_CHECKING:
    from pathlib import Path

TUNING = REPOSITORY / "deploy" / "tuning"
FILES = {
    "proc/sys/net/core/rmem_max": "212992",
    "proc/sys/net/core/wmem_max": "8388608",
    "proc/sys/vm/swappiness": "60",
    "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance",
    "sys/devices/system/cpu/cpu0/cpuidle/state0/disable": "0",
    "sys/devices/system/cpu/cpu0/cpuidle/state0/latency": "2",
    "sys/devices/system/cpu/cpu0/cpuidle/state1/disable": "0",
    "sys/devices/system/cpu/cpu0/cpuidle/state1/latency": "133",
    "sys/devices/system/cpu/cpu2/online": "1",
    "proc/irq/24/smp_affinity_list": "0-2",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(f"{text}\n")
    return tmp_path / "root"


def run(script: str, root: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(TUNING / script), *words], env={**os.environ, "ROOT": str(root), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def state(root: Path) -> dict[str, str]:
    return {name: (root / name).read_text().strip() for name in FILES}


def test_it_shows_and_changes_nothing(root: Path) -> None:
    shown = run("tune.sh", root, "--away-from", "1-2")
    assert shown.returncode == 0, shown.stderr
    rows = {line[:26].strip(): line[26:].split() for line in shown.stdout.splitlines()}
    assert rows["rmem_max"][:2] == ["212992", "4194304+"]
    assert rows["governor"][:2] == ["performance/powersave", "performance"]
    assert rows["huge pages"][:2] == ["always", "madvise"]
    assert rows["idle states"][:2] == ["0", "1"]
    assert rows["busy_poll"][0] == "-"
    assert "interrupts to processors 0:" in shown.stdout
    assert "Nothing was changed" in shown.stdout
    assert state(root) == FILES


def test_it_sets_what_it_showed_and_says_how_to_undo_it(root: Path) -> None:
    done = run("tune.sh", root, "--apply", "--away-from", "1-2")
    assert done.returncode == 0, done.stderr
    changed = {name: value for name, value in state(root).items() if value != FILES[name]}
    assert changed == {
        "proc/sys/net/core/rmem_max": "4194304",
        "proc/sys/vm/swappiness": "1",
        "sys/kernel/mm/transparent_hugepage/enabled": "madvise",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance",
        "sys/devices/system/cpu/cpu0/cpuidle/state1/disable": "1",
        "proc/irq/24/smp_affinity_list": "0",
    }
    subprocess.run(["sh", "-euc", done.stdout.partition("To undo:\n")[2]], check=True)
    assert state(root) == {**FILES, "sys/kernel/mm/transparent_hugepage/enabled": "always"}


def test_what_it_does_not_know_it_refuses(root: Path) -> None:
    for words in (["--aply"], ["--apply", "--away-from", "0-2"]):
        done = run("tune.sh", root, *words)
        assert done.returncode == 2
        assert "processor" in done.stderr


def test_the_lasting_part_is_the_same_profile() -> None:
    knobs = [line.strip(' "').split("|") for line in (TUNING / "knobs.sh").read_text().splitlines() if "|/proc" in line]
    ours = {knob[1].removeprefix("/proc/sys/").replace("/", "."): knob[3].rstrip("+") for knob in knobs}
    lines = [line for line in (TUNING / "90-tickcast.conf").read_text().splitlines() if not line.startswith("#")]
    assert dict(line.split(" = ") for line in lines) == ours


def stub(tmp_path: Path, root: Path, seconds: float = 0) -> Path:
    """A `feed` whose latency is better with a larger buffer, and that notes how it was called."""
    feed = tmp_path / "feed"
    feed.write_text(
        f'#!/bin/sh\necho "$(cat {root}/proc/sys/net/core/rmem_max) $(nice) $*" >> {tmp_path}/calls\nsleep {seconds}\n'
        f'[ "$(cat {root}/proc/sys/net/core/rmem_max)" = 212992 ] && echo \'[{{"p50_us": 90.0, "p99_us": 400.0}}]\' '
        f'|| echo \'[{{"p50_us": 80.0, "p99_us": 300.0}}]\'\n'
    )
    feed.chmod(0o755)
    return feed


def test_off_and_on_alternate_and_all_is_as_it_was(root: Path, tmp_path: Path) -> None:
    done = run("measure.sh", root, FEED=str(stub(tmp_path, root)), ROUNDS="2", TICKS="100")
    assert done.returncode == 0, done.stderr
    assert "| rmem_max (tcp) | 90.0 → 80.0 | 400.0 → 300.0 |" in done.stdout
    assert "| busy_poll (tcp) | not on this host | |" in done.stdout
    assert "| nice -10 (shm) | 90.0 → 90.0 | 400.0 → 400.0 |" in done.stdout
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls[:4]] == ["212992", "4194304", "212992", "4194304"]
    assert calls[0].endswith("bench latency --transport tcp --idle park --rate 10000 --ticks 100 --json")
    assert state(root) == {**FILES, "sys/kernel/mm/transparent_hugepage/enabled": "always"}


def test_who_ends_it_midway_finds_all_as_it_was(root: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "ROOT": str(root), "FEED": str(stub(tmp_path, root, 0.2))}
    running = subprocess.Popen(
        ["bash", str(TUNING / "measure.sh"), "rmem_max"], env=environment, stdout=subprocess.DEVNULL
    )
    wait_for(lambda: state(root)["proc/sys/net/core/rmem_max"] == "4194304", "the knob to be turned")
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 130
    time.sleep(0.3)
    assert state(root) == FILES
