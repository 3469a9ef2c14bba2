"""The clock: what reading it costs, and how far it is from true time.

Which clock sources are read without a system call: arch/x86/include/asm/vdso/clocksource.h (tsc, pvclock, hvclock)
and arch_sys_counter on arm64; the others fall back to a system call (vdso(7)). Order of preference: Red Hat Enterprise
Linux for Real Time, "Managing system clocks". Offsets are those of adjtimex(2) and of chronyc(1), "tracking"; typical
accuracies are those of chrony's introduction: a few ms over the Internet, tens of µs in a LAN, below 1 µs with hardware
time stamps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed.doctor.finding import Check, Verdict, better, ok, unknown

if TYPE_CHECKING:
    from feed.doctor.host import Host

__all__ = ["CHECKS"]

FAST = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"}
SOURCE = "/sys/devices/system/clocksource/clocksource0"
MAXERROR_US = 100_000
"""A bound on the clock's error from which venue latencies, a matter of ms, say little."""


def _source(host: Host) -> Verdict:
    current, available = (
        host.text(f"{SOURCE}/current_clocksource"),
        host.text(f"{SOURCE}/available_clocksource").split(),
    )
    if current in FAST:
        return ok(current)
    fast = next((each for each in available if each in FAST), None)
    if fast is None:
        return better(f"{current}; tsc is not available", "sudo dmesg | grep -i -e tsc -e clocksource  # why not")
    return better(f"{current}, although there is {fast}", f"echo {fast} | sudo tee {SOURCE}/current_clocksource")


def _sync(host: Host) -> Verdict:
    told = host.timex()
    bound = f"within {told.maxerror_us:,} µs of true time"
    if not told.synchronized:
        return better(
            "nobody synchronizes it, says the kernel", "sudo apt install chrony && sudo systemctl enable --now chrony"
        )
    if told.maxerror_us >= MAXERROR_US:
        return better(f"synchronized, but only {bound}", "chronyc sources -v  # nearer servers")
    return ok(f"synchronized, {bound}")


def _daemon(host: Host) -> Verdict:
    try:
        columns = host.run(["chronyc", "-c", "-n", "tracking"]).split(",")
        server, stratum, offset_s, leap = columns[1], columns[2], float(columns[4]), columns[13].strip()
    except OSError as error:
        if host.exists("/run/systemd/timesync/synchronized"):
            return ok("systemd-timesyncd has synchronized")
        if host.matching("/run/ptp4l*"):
            return ok("ptp4l runs")
        why = "chronyc is not installed" if isinstance(error, FileNotFoundError) else f"chronyc: {error.strerror}"
        return unknown(f"{why}; no other daemon is seen", "sudo apt install chrony")
    if leap == "Not synchronised":
        return better("chrony has no server yet", "chronyc sources -v")
    return ok(f"chrony follows {server} (stratum {stratum}), {abs(offset_s) * 1e6:,.1f} µs off")


def _hardware(host: Host) -> Verdict:
    clocks = host.matching("/sys/class/ptp/ptp[0-9]*")
    if clocks:
        return ok(", ".join(f"/dev/{each.rsplit('/', 1)[1]} ({host.text(f'{each}/clock_name')})" for each in clocks))
    if not host.exists("/sys/class/ptp"):
        return unknown("none is shown")
    return better("no PTP clock", "sudo modprobe ptp_kvm  # a virtual machine's; else a network card that has one")


CHECKS = [
    Check("source", "Other sources than tsc make each time stamp a system call; a batch has up to three.", _source),
    Check(
        "synchronized",
        "Latency from the venue, and one-way figures between hosts, are wrong by what the clock is off.",
        _sync,
    ),
    Check("daemon", "What disciplines the clock; stage `total` on one host needs none.", _daemon),
    Check(
        "PTP clock",
        "Clocks agree within tens of µs over NTP in a LAN, within a µs with time stamps made in hardware.",
        _hardware,
    ),
]
