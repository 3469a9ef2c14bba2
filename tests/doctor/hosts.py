"""Made-up hosts: a tree of files and answers of the kernel, good unless told otherwise."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from feed import config
from feed.config import FeedConfig
from feed.doctor import Host
from feed.doctor.host import Coalescing, Libzmq, Timex
from feed.log.observer import LogFigures

GIB = 1 << 30
CPU = "sys/devices/system/cpu"
NET = "sys/class/net/eth0"
GOOD = {
    f"{CPU}/online": "0-7\n",
    f"{CPU}/isolated": "6-7\n",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "performance\n",
    f"{CPU}/cpu0/cpuidle/state0/latency": "0\n",
    f"{CPU}/cpu0/cpuidle/state0/name": "POLL\n",
    f"{CPU}/cpu0/cpuidle/state0/disable": "0\n",
    f"{CPU}/cpu0/cpuidle/state1/latency": "133\n",
    f"{CPU}/cpu0/cpuidle/state1/name": "C6\n",
    f"{CPU}/cpu0/cpuidle/state1/disable": "1\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm\n",
    "sys/class/ptp/ptp0/clock_name": "mlx5_ptp\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise [never] deny force\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
    f"{NET}/device/vendor": "0x15b3\n",
    f"{NET}/gro_flush_timeout": "0\n",
    f"{NET}/napi_defer_hard_irqs": "0\n",
    f"{NET}/operstate": "up\n",
    f"{NET}/mtu": "1500\n",
    "proc/stat": "cpu  100 0 100 9800 0 0 0 0 0 0\n",
    "proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
    "proc/meminfo": "MemTotal:       16000000 kB\nMemAvailable:   12000000 kB\n",
    "proc/sys/kernel/osrelease": "6.12.1-amd64\n",
    "proc/sys/net/core/rmem_max": "4194304\n",
    "proc/sys/net/core/wmem_max": "4194304\n",
    "proc/sys/net/core/netdev_max_backlog": "1000\n",
    "proc/sys/net/core/busy_poll": "50\n",
    "proc/sys/net/core/busy_read": "50\n",
    "proc/net/softnet_stat": "0000a1b2 00000000 00000000\n0000a1b2 00000000 00000001\n",
    "proc/self/status": "Name:\tfeed\nCpus_allowed_list:\t0-5\nCapEff:\t0000000000800000\n",
    "proc/self/cgroup": "0::/user.slice/feed\n",
    "proc/self/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n25 22 0:23 / /dev/shm rw - tmpfs tmpfs rw\n",
}
CHRONY = "C0A80001,192.168.0.1,2,1732233600.1,0.000002500,0.000001,0.00001,-1.2,0.001,0.05,0.0002,0.0001,64.0,Normal\n"


def figures(tail: int = 0, log_bytes: int = 1 << 28) -> LogFigures:
    """A running feed's log."""
    return LogFigures("open", 1, True, 1, 10, tail, 0, 0, log_bytes, 3, [])


def answering(limits: Mapping[int, tuple[int, int]]) -> Callable[[int], tuple[int, int]]:
    good = {
        resource.RLIMIT_NOFILE: (65536, 65536),
        resource.RLIMIT_MEMLOCK: (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
        resource.RLIMIT_RTPRIO: (0, 0),
        resource.RLIMIT_NICE: (0, 0),
    }
    return lambda which: {**good, **limits}[which]


def missing(*_: Any) -> Any:
    raise FileNotFoundError(errno.ENOENT, "No such file or directory")


def forbidden(*_: Any) -> Any:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def made_up(
    root: Path,
    files: Mapping[str, str | None] | None = None,
    *,
    settings: Sequence[str] = (),
    limits: Mapping[int, tuple[int, int]] | None = None,
    **answers: Any,
) -> Host:
    """A host whose tree under `root` is GOOD with `files` over it (None: not there), and whose answers are good but
    for those given."""
    for name, text in {**GOOD, **(files or {})}.items():
        if text is not None:
            at = root / name
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_text(text)
    loaded: FeedConfig = config.load(None, {}, settings)
    good: dict[str, Any] = {
        "space": lambda path: (8 * GIB, 8 * GIB),
        "timex": lambda: Timex(True, 120, 10),
        "run": lambda words: CHRONY,
        "taken": lambda endpoint: None,
        "short_slices": lambda: True,
        "coalescing": lambda name: Coalescing(0, 1, False),
        "libzmq": lambda: Libzmq((4, 3, 5), "27.0", frozenset({"ipc", "curve", "pgm"})),
        "log": lambda directory: None,
        "pause": lambda seconds: None,
    }
    return Host(config=loaded, root=root, limit=answering(limits or {}), **{**good, **answers})
