"""Each check against made-up hosts: what is good, what is not and which command would mend it."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from feed.doctor import Finding, Host, examine, fit
from feed.doctor.host import Coalescing, Libzmq, Timex
from feed.errors import LogError
from tests.doctor.hosts import CPU, GIB, GOOD, NET, figures, forbidden, made_up, missing

CLOCK = "sys/devices/system/clocksource/clocksource0"
GROUP = "sys/fs/cgroup/user.slice"
REMOTE = ("control.endpoint=tcp://0.0.0.0:5550",)
SPIN = ("log.idle=spin", "publish.tcp.idle=spin")


def only(host: Host, name: str) -> Finding:
    (found,) = [each for each in examine(host) if f"{each.subject}: {each.check}" == name]
    return found


def test_a_good_host_is_good(tmp_path: Path) -> None:
    findings = examine(made_up(tmp_path))
    assert [each for each in findings if each.status != "ok"] == []
    assert fit(findings)
    assert all(each.found and each.why for each in findings)
    assert len({(each.subject, each.check) for each in findings}) == len(findings)


BAD: list[tuple[str, str, str, str, dict[str, Any]]] = [
    # check, status, what is said, what the command has, and what is wrong
    ("processor: processors", "broken", "log.cpu is 9", "log.cpu=-1", {"settings": ("log.cpu=9",)}),
    (
        "processor: processors",
        "broken",
        "may use 0-3",
        "publish.tcp.cpu=-1",
        {
            "settings": ("publish.tcp.cpu=6",),
            "files": {f"{GROUP}/cpuset.cpus.effective": "0-3\n"},
        },
    ),
    (
        "processor: processors",
        "better",
        "leave none",
        "idle=park",
        {"settings": SPIN, "files": {f"{CPU}/online": "0-1"}},
    ),
    (
        "processor: processors",
        "better",
        "take turns",
        "taskset -c 0-7",
        {"files": {"proc/self/status": "Cpus_allowed_list:\t3\nCapEff:\t0\n"}},
    ),
    ("processor: isolation", "better", "log, publish.tcp spins elsewhere", "log.cpu=6", {"settings": SPIN}),
    ("processor: isolation", "better", "none", "isolcpus=6-7", {"settings": SPIN, "files": {f"{CPU}/isolated": "\n"}}),
    (
        "processor: isolation",
        "better",
        "too few",
        "idle=park",
        {"settings": SPIN, "files": {f"{CPU}/isolated": "\n", f"{CPU}/online": "0-2"}},
    ),
    (
        "processor: governor",
        "better",
        "performance, powersave; a change takes 20 µs",
        "cpupower frequency-set",
        {
            "files": {
                f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave",
                f"{CPU}/cpu1/cpufreq/cpuinfo_transition_latency": "20000",
            }
        },
    ),
    (
        "processor: idle states",
        "better",
        "C6, takes up to 133 µs",
        "cpupower idle-set -D 10",
        {"files": {f"{CPU}/cpu0/cpuidle/state1/disable": "0"}},
    ),
    (
        "processor: time slices",
        "better",
        "6.1.0",
        "linux-image",
        {"short_slices": lambda: False, "files": {"proc/sys/kernel/osrelease": "6.1.0-28-amd64"}},
    ),
    ("processor: time slices", "better", "does not grant", "chrt -o 0", {"short_slices": lambda: False}),
    ("processor: stolen time", "better", "5 %", "", {"files": {"proc/stat": "cpu  0 0 0 95 0 0 0 5 0 0\n"}}),
    (
        "clock: source",
        "better",
        "hpet",
        "echo tsc | sudo tee /sys",
        {"files": {f"{CLOCK}/current_clocksource": "hpet"}},
    ),
    (
        "clock: source",
        "better",
        "tsc is not available",
        "dmesg",
        {"files": {f"{CLOCK}/current_clocksource": "hpet", f"{CLOCK}/available_clocksource": "hpet"}},
    ),
    ("clock: synchronized", "better", "nobody", "chrony", {"timex": lambda: Timex(False, 16_000_000, 16_000_000)}),
    ("clock: synchronized", "better", "250,000 µs", "sources", {"timex": lambda: Timex(True, 250_000, 16)}),
    ("clock: daemon", "unknown", "not installed", "apt install chrony", {"run": missing}),
    (
        "clock: daemon",
        "better",
        "no server",
        "sources",
        {"run": lambda words: "7F7F0101,,0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised\n"},
    ),
    ("memory: room for the log", "broken", "64 MiB of 64 MiB", "remount", {"space": lambda path: (1 << 26, 1 << 26)}),
    ("memory: room for the log", "better", "books", "remount", {"space": lambda path: (8 * GIB, 300 << 20)}),
    ("memory: file system", "better", "ext4, at /", "log.root=", {"settings": ("log.root=/srv/ticks",)}),
    ("memory: horizon", "better", "0.2 s at 6.0 MB/s", "log.bytes=128MiB", {"settings": ("log.bytes=1MiB",)}),
    ("memory: horizon", "unknown", "not configured", "", {"settings": ("source.sim.rate=0",)}),
    (
        "memory: available",
        "broken",
        "97.7 MiB",
        "log.bytes",
        {"files": {"proc/meminfo": "MemAvailable:   100000 kB\n"}},
    ),
    (
        "memory: available",
        "better",
        "391 MiB",
        "log.bytes",
        {"files": {"proc/meminfo": "MemAvailable:   400000 kB\n"}},
    ),
    (
        "memory: huge pages",
        "better",
        "always",
        "echo madvise",
        {"files": {"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"}},
    ),
    (
        "memory: swap",
        "better",
        "1 MiB of 1 GiB",
        "swapoff",
        {"files": {"proc/swaps": "Filename Type Size Used Priority\n/dev/sda2 partition 1048576 1024 -2\n"}},
    ),
    (
        "network: addresses",
        "broken",
        "(control.endpoint): held by nginx",
        "control.endpoint=",
        {"taken": lambda endpoint: "held by nginx (process 7)" if endpoint.port == 5550 else None},
    ),
    (
        "network: receive buffer",
        "better",
        "208 KiB, 29 ms",
        "rmem_max=",
        {"files": {"proc/sys/net/core/rmem_max": "212992"}},
    ),
    ("network: send buffer", "better", "208 KiB", "wmem_max=", {"files": {"proc/sys/net/core/wmem_max": "212992"}}),
    (
        "network: backlog",
        "better",
        "17 dropped",
        "netdev_max_backlog=10000",
        {"files": {"proc/net/softnet_stat": "0000a1b2 00000011 00000000\n"}},
    ),
    (
        "network: busy polling",
        "better",
        "off",
        "busy_poll=50",
        {
            "settings": REMOTE,
            "files": {f"proc/sys/net/core/{name}": "0" for name in ("busy_poll", "busy_read")},
        },
    ),
    (
        "network: cards",
        "better",
        "gathers for 50 µs",
        "ethtool -C eth0",
        {"settings": REMOTE, "coalescing": lambda name: Coalescing(50, 0, False)},
    ),
    (
        "network: cards",
        "better",
        "put off for 20 µs",
        "napi_defer_hard_irqs",
        {"settings": REMOTE, "files": {f"{NET}/gro_flush_timeout": "20000", f"{NET}/napi_defer_hard_irqs": "2"}},
    ),
    ("network: cards", "unknown", "no network card", "", {"files": dict.fromkeys((n for n in GOOD if NET in n), None)}),
    ("zmq: version", "better", "4.1.6", "upgrade", {"libzmq": lambda: Libzmq((4, 1, 6), "22", frozenset({"ipc"}))}),
    ("zmq: ipc", "broken", "publish.ipc", "libzmq3-dev", {"libzmq": lambda: Libzmq((4, 3, 5), "27", frozenset())}),
    ("zmq: curve", "better", "no", "libzmq3-dev", {"libzmq": lambda: Libzmq((4, 3, 5), "27", frozenset())}),
    ("limits: open files", "better", "1,024", "ulimit -n", {"limits": {resource.RLIMIT_NOFILE: (1024, 1 << 20)}}),
    ("limits: open files", "broken", "64 (may be", "prlimit", {"limits": {resource.RLIMIT_NOFILE: (64, 64)}}),
    (
        "limits: scheduling rights",
        "better",
        "no real-time, niceness from 19",
        "nice -10",
        {"files": {"proc/self/status": "Cpus_allowed_list:\t0-5\nCapEff:\t0000000000000000\n"}},
    ),
    (
        "limits: processor quota",
        "better",
        "2 processors' worth; after it all stands still, up to 75 ms of 100; 42 times",
        "echo max | sudo tee /sys/fs/cgroup/user.slice/cpu.max",
        {
            "files": {
                f"{GROUP}/feed/cpu.max": "max 100000\n",
                f"{GROUP}/cpu.max": "200000 100000\n",
                f"{GROUP}/cpu.stat": "usage_usec 5\nnr_periods 99\nnr_throttled 42\n",
            }
        },
    ),
    (
        "limits: memory limit",
        "broken",
        "64 MiB; the log's",
        "/sys/fs/cgroup/user.slice/feed/memory.max",
        {"files": {f"{GROUP}/feed/memory.max": "67108864\n", f"{GROUP}/memory.max": "max\n"}},
    ),
    ("limits: memory limit", "better", "400 MiB", "docker", {"files": {f"{GROUP}/memory.max": str(400 << 20)}}),
]


@pytest.mark.parametrize(
    ("check", "status", "said", "command", "wrong"), BAD, ids=[f"{each[0]}, {each[2]}" for each in BAD]
)
def test_what_is_wrong_is_found(
    tmp_path: Path, check: str, status: str, said: str, command: str, wrong: dict[str, Any]
) -> None:
    found = only(made_up(tmp_path, **wrong), check)
    assert found.status == status, found
    assert said in found.found
    assert command in found.command
    assert bool(command) == bool(found.command)


@pytest.mark.parametrize(
    ("check", "said", "right"),
    [
        ("processor: isolation", "isolated: 6-7", {"settings": (*SPIN, "log.cpu=6", "publish.tcp.cpu=7")}),
        ("processor: isolation", "no agent spins", {"files": {f"{CPU}/isolated": ""}}),
        ("clock: source", "kvm-clock", {"files": {f"{CLOCK}/current_clocksource": "kvm-clock"}}),
        ("clock: daemon", "192.168.0.1 (stratum 2), 2.5 µs off", {}),
        ("clock: daemon", "timesyncd", {"run": missing, "files": {"run/systemd/timesync/synchronized": ""}}),
        ("clock: daemon", "ptp4l", {"run": missing, "files": {"run/ptp4lro": ""}}),
        ("clock: PTP clock", "/dev/ptp0 (mlx5_ptp)", {}),
        ("memory: horizon", "44.7 s at 6.0 MB/s, as configured", {}),
        ("memory: room for the log", "and has it", {"space": lambda path: (GIB, 0), "log": lambda path: figures()}),
        ("network: addresses", "has its 4", {"log": lambda path: figures(), "taken": lambda endpoint: "held"}),
        ("network: cards", "gathers for 50 µs; nothing listens", {"coalescing": lambda n: Coalescing(50, 0, False)}),
        ("network: cards", "can't be read", {"coalescing": forbidden}),
        ("zmq: pgm", "nothing configured needs it", {"libzmq": lambda: Libzmq((4, 3, 5), "27", frozenset({"ipc"}))}),
        ("limits: open files", "unlimited", {"limits": {resource.RLIMIT_NOFILE: (resource.RLIM_INFINITY,) * 2}}),
        ("limits: scheduling rights", "CAP_SYS_NICE", {}),
        ("limits: memory limit", "none", {}),
        ("limits: memory limit", "8 GiB", {"files": {f"{GROUP}/memory.max": str(8 * GIB)}}),
        ("limits: processor quota", "none", {"files": {f"{GROUP}/cpu.max": "max 100000"}}),
    ],
)
def test_what_is_right_is_said(tmp_path: Path, check: str, said: str, right: dict[str, Any]) -> None:
    found = only(made_up(tmp_path, **right), check)
    assert found.status == "ok", found
    assert said in found.found


def test_the_horizon_of_a_running_feed_is_measured(tmp_path: Path) -> None:
    tails = iter([10_000_000, 10_000_000, 11_000_000])
    passed: list[float] = []
    host = made_up(tmp_path, log=lambda path: figures(next(tails)), pause=passed.append)
    horizon = next(each for each in host_checks(host) if each.check == "horizon")
    assert passed == [0.5]
    assert horizon.found == "134.2 s at 2.0 MB/s, now"


def host_checks(host: Host) -> list[Finding]:
    """Only the horizon: the others look at the log too."""
    from feed.doctor import memory  # noqa: PLC0415
    from feed.doctor.examine import SUBJECTS  # noqa: PLC0415

    (check,) = [each for each in memory.CHECKS if each.name == "horizon"]
    assert check in SUBJECTS["memory"]
    verdict = check.look(host)
    return [Finding(subject="memory", check="horizon", why=check.why, **verdict._asdict())]


def test_a_container_without_anything_is_described(tmp_path: Path) -> None:
    """No /sys, chrony or rights: a line for each check all the same, and only what is known to be wrong is broken."""
    files = {name: None for name in GOOD if name.startswith("sys/")}
    host = made_up(tmp_path, files, run=missing, timex=forbidden, coalescing=forbidden)
    findings = examine(host)
    assert len(findings) == len(examine(made_up(tmp_path / "good")))
    unread = {each.check: each.found for each in findings if each.status == "unknown"}
    assert "/sys/devices/system/cpu/online: No such file" in unread["processors"]
    assert "Operation not permitted" in unread["synchronized"]
    assert unread["memory limit"] == "no cgroup v2 here"
    assert fit(findings)


@pytest.mark.parametrize("content", ["", "nonsense", "\0\0", "-", "max max max", ": : :", "9" * 30])
def test_nonsense_is_no_crash(tmp_path: Path, content: str) -> None:
    host = made_up(tmp_path, dict.fromkeys(GOOD, content), run=lambda words: content)
    for each in examine(host):
        assert each.status in {"ok", "better", "broken", "unknown"}
        assert str(tmp_path) not in each.found


def test_a_file_that_can_not_be_read_is_named_as_on_the_host(tmp_path: Path) -> None:
    host = made_up(tmp_path, {"proc/swaps": None})
    (tmp_path / "proc/swaps").mkdir()
    assert only(host, "memory: swap").found == "can't be read: /proc/swaps: Is a directory"


def test_a_log_of_another_kind_is_no_crash(tmp_path: Path) -> None:
    def other(directory: Path) -> None:
        raise LogError("not a log of this version", where=str(directory))

    found = only(made_up(tmp_path, log=other), "memory: room for the log")
    assert (found.status, "not a log of this version" in found.found) == ("unknown", True)


def test_answers_that_are_refused_are_said_to_be(tmp_path: Path) -> None:
    refused = dict.fromkeys(("space", "timex", "run", "taken", "short_slices", "libzmq"), forbidden)
    unread = [each for each in examine(made_up(tmp_path, **refused)) if each.status == "unknown"]
    assert {each.subject for each in unread} == {"processor", "clock", "memory", "network", "zmq"}
    assert all(os.strerror(errno.EPERM) in each.found for each in unread)
