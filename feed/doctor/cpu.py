"""Processors: how many, who else uses them, how long they take to wake.

Wake-up times and those of a change of frequency are the kernel's own, cpuidle/state*/latency and
cpufreq/cpuinfo_transition_latency of each processor (kernel documentation, admin-guide/pm); the 3 ms of a time slice
and what short ones gain were measured (feed/DECISIONS.md, 2026-11-22).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed.doctor.finding import Check, Verdict, better, broken, listed, ok, unknown
from feed.doctor.host import processors

if TYPE_CHECKING:
    from feed.doctor.host import Host

__all__ = ["CHECKS"]

WAKE_US = 10
"""An idle state that takes as long as this to leave is near the whole latency target of 13.4 µs at p50."""

STEAL = 0.001
_CPUS = "/sys/devices/system/cpu/cpu[0-9]*"
_ETERNAL = 2**32 - 1
"""CPUFREQ_ETERNAL of linux/cpufreq.h: not known."""

SPARE = 4
"""On fewer processors than this, isolating some leaves too few for the rest."""


def _waiting(host: Host) -> list[tuple[str, str, int]]:
    """Table, idle strategy and processor of the agents that ticks go through."""
    config = host.config
    publishers = [(f"publish.{name}", each.idle, each.cpu) for name, each in config.publish.items()]
    return [("log", config.log.idle, config.log.cpu), *publishers]


def _hot(host: Host) -> list[tuple[str, int]]:
    return [(table, cpu) for table, idle, cpu in _waiting(host) if idle != "park"]


def _processors(host: Host) -> Verdict:
    online, allowed, pinnable = host.online(), host.allowed(), host.pinnable()
    for table, _, cpu in _waiting(host):
        if cpu >= 0 and cpu not in pinnable:
            return broken(
                f"{table}.cpu is {cpu}, but the feed may use {listed(pinnable)}", f"feed run --set {table}.cpu=-1"
            )
    hot = len(_hot(host))
    found = f"{len(allowed)} of {len(online)} online ({listed(allowed)})"
    if hot and hot >= len(pinnable):
        which = "feed run " + " ".join(f"--set {table}.idle=park" for table, _ in _hot(host))
        return better(f"{found}; {hot} agents that never sleep leave none for the rest", which)
    if len(allowed) < 2:
        return better(f"{found}; agents take turns on it", f"taskset -c {listed(online)} feed run" * (len(online) > 1))
    return ok(f"{found}; {hot} agents never sleep")


def _isolated(host: Host) -> Verdict:
    isolated = processors(host.text("/sys/devices/system/cpu/isolated"))
    hot, found = _hot(host), f"isolated: {listed(isolated)}"
    if not hot:
        return ok(f"{found}; no agent spins, so none needs to be")
    if all(cpu in isolated for _, cpu in hot):
        return ok(found)
    outside = ", ".join(table for table, cpu in hot if cpu not in isolated)
    online = sorted(host.online())
    if len(online) < SPARE:
        return better(
            f"{found}; {outside} spins, and {len(online)} are too few to isolate one",
            f"feed run --set {hot[0][0]}.idle=park",
        )
    if len(isolated) >= len(hot):
        return better(
            f"{found}; {outside} spins elsewhere",
            f"feed run --set {hot[0][0]}.cpu={min(isolated)}  # each its own of {listed(isolated)}",
        )
    take = listed(set(online[-len(hot) :]))
    return better(
        f"{found}; {outside} spins among other work",
        f"sudo grubby --update-kernel=ALL --args='isolcpus={take} nohz_full={take} rcu_nocbs={take}' && sudo reboot"
        "  # without grubby: GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub",
    )


def _governor(host: Host) -> Verdict:
    files = host.matching(f"{_CPUS}/cpufreq/scaling_governor")
    if not files:
        return unknown("the kernel does not set the frequency here; the hypervisor or the firmware does")
    governors = sorted({host.text(each) for each in files})
    if governors == ["performance"]:
        return ok("performance")
    slowest_ns = max(
        (host.number(each) for each in host.matching(f"{_CPUS}/cpufreq/cpuinfo_transition_latency")), default=_ETERNAL
    )
    change = f"; a change takes {slowest_ns / 1e3:g} µs" if slowest_ns < _ETERNAL else ""
    return better(", ".join(governors) + change, "sudo cpupower frequency-set -g performance")


def _idle_states(host: Host) -> Verdict:
    states = host.matching(f"{_CPUS}/cpuidle/state[0-9]*")
    if not states:
        return unknown("no idle states are shown; the hypervisor or the firmware decides")
    slowest_us, name = max(
        (host.number(f"{each}/latency"), host.text(f"{each}/name"))
        for each in states
        if not host.number(f"{each}/disable")
    )
    found = f"the deepest in use, {name}, takes up to {slowest_us} µs to leave"
    return ok(found) if slowest_us < WAKE_US else better(found, f"sudo cpupower idle-set -D {WAKE_US}")


def _slices(host: Host) -> Verdict:
    release = host.text("/proc/sys/kernel/osrelease")
    if host.short_slices():
        return ok(f"Linux {release} grants 0.1 ms")
    major, minor = (int(part) for part in release.split("-")[0].split(".")[:2])
    if (major, minor) >= (6, 12):
        return better(
            f"Linux {release} could, but does not grant them here (another scheduling policy?)", "chrt -o 0 feed run"
        )
    return better(f"Linux {release} has none", "sudo apt install linux-image-amd64  # 6.12 or later; then reboot")


def _steal(host: Host) -> Verdict:
    times = [int(word) for word in host.text("/proc/stat").splitlines()[0].split()[1:9]]
    share = times[7] / max(1, sum(times))
    found = f"{100 * share:.2g} % of the time since boot"
    return ok(found) if share < STEAL else better(f"{found}: other guests were run instead of this one")


CHECKS = [
    Check(
        "processors", "Agents that share a processor wait for each other, up to a time slice of some 3 ms.", _processors
    ),
    Check(
        "isolation",
        "Other work on a spinning agent's processor takes it away for up to a time slice, some 3 ms.",
        _isolated,
    ),
    Check(
        "governor",
        "A processor that saves power runs slower, and is still slow when ticks come.",
        _governor,
    ),
    Check(
        "idle states",
        "A bot or agent that sleeps wakes later by what its processor takes to leave its idle state.",
        _idle_states,
    ),
    Check("time slices", "With slices of 0.1 ms a woken agent need not wait some 3 ms for one that runs.", _slices),
    Check(
        "stolen time",
        "What the host takes a virtual machine's processor away for, up to ms at a time, shows at p99.",
        _steal,
    ),
]
