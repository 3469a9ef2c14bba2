"""What this process may: descriptors, scheduling, and the limits of its container.

Sources: getrlimit(2), sched(7), capabilities(7); admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst of the kernel's
documentation: a group that has used up its quota does not run until the next period.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from feed.doctor.finding import Check, Verdict, better, broken, ok, size, unknown
from feed.doctor.memory import needed

if TYPE_CHECKING:
    from feed.doctor.host import Host

__all__ = ["CHECKS"]

FILES_MIN, FILES = 256, 4096
CAP_SYS_NICE = 23
"""Bit of linux/capability.h."""


def _files(host: Host) -> Verdict:
    soft, hard = host.limit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= FILES:
        return ok("unlimited" if soft == resource.RLIM_INFINITY else f"{soft:,}")
    raised = hard == resource.RLIM_INFINITY or hard >= FILES
    command = f"ulimit -n {FILES}" if raised else f"sudo prlimit --pid $$ --nofile={FILES}:{FILES}"
    found = f"{soft:,} (may be raised to {'any number' if hard == resource.RLIM_INFINITY else f'{hard:,}'})"
    return better(found, command) if soft >= FILES_MIN else broken(found, command)


def _locked(host: Host) -> Verdict:
    soft, _ = host.limit(resource.RLIMIT_MEMLOCK)
    return ok(f"{'unlimited' if soft == resource.RLIM_INFINITY else size(soft)}; the feed locks none")


def _scheduling(host: Host) -> Verdict:
    capable = bool(int(host.status("CapEff"), 16) >> CAP_SYS_NICE & 1)
    real_time, _ = host.limit(resource.RLIMIT_RTPRIO)
    nice, _ = host.limit(resource.RLIMIT_NICE)
    if capable:
        return ok("any priority (CAP_SYS_NICE)")
    best = 20 - (40 if nice == resource.RLIM_INFINITY else nice)
    found = f"{'real-time' if real_time else 'no real-time'}, niceness from {min(best, 19)}"
    if real_time or best < 0:
        return ok(found)
    return better(
        found,
        'echo "$USER - nice -10" | sudo tee /etc/security/limits.d/tickcast.conf'
        "  # log in again, then: nice -n -10 feed run",
    )


def _quota(host: Host) -> Verdict:
    groups = host.groups()
    if not groups:
        return unknown("no cgroup v2 here")
    tightest: tuple[float, str, int] | None = None
    for group in groups:
        if host.exists(f"{group}/cpu.max"):
            quota, period = host.text(f"{group}/cpu.max").split()
            if quota != "max" and (tightest is None or int(quota) / int(period) < tightest[0]):
                tightest = int(quota) / int(period), group, int(period)
    if tightest is None:
        return ok("none")
    share, group, period_us = tightest
    busy = max(len(host.pinnable()), 1)
    stands_ms = max(0.0, period_us * (1 - share / busy)) / 1e3
    found = f"{share:g} processors' worth; after it all stands still, up to {stands_ms:.0f} ms of {period_us / 1e3:.0f}"
    throttled = 0
    if host.exists(f"{group}/cpu.stat"):
        counts = dict(line.split() for line in host.text(f"{group}/cpu.stat").splitlines())
        throttled = int(counts.get("nr_throttled", 0))
    if throttled:
        found += f"; {throttled:,} times so far"
    return better(found, f"echo max | sudo tee {group}/cpu.max  # docker: --cpuset-cpus instead of --cpus")


def _memory(host: Host) -> Verdict:
    groups = host.groups()
    if not groups:
        return unknown("no cgroup v2 here")
    limits = {
        group: int(text)
        for group in groups
        if host.exists(f"{group}/memory.max") and (text := host.text(f"{group}/memory.max")) != "max"
    }
    if not limits:
        return ok("none")
    group = min(limits, key=lambda each: limits[each])
    need = needed(host)
    found = f"{size(limits[group])}; the log's {size(need)} count"
    command = (
        f"echo {4 * need} | sudo tee {group}/memory.max  # docker: --memory={4 * need >> 20}m; or a smaller log.bytes"
    )
    if limits[group] < need:
        return broken(found, command)
    return better(found, command) if limits[group] < 2 * need else ok(found)


CHECKS = [
    Check(
        "open files",
        "Each bot takes a descriptor at its publisher and one at control; the next is turned away.",
        _files,
    ),
    Check("locked memory", "Only drivers that bypass the kernel ask for it.", _locked),
    Check(
        "scheduling rights",
        "On a busy host agents wait for others' slices, some 3 ms, unless they come before them.",
        _scheduling,
    ),
    Check("processor quota", "A container that has used up its quota stands still until the next period.", _quota),
    Check("memory limit", "At the limit the kernel ends a process; shared memory counts.", _memory),
]
