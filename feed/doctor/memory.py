"""Memory: room for the log, how far back it reaches, and what makes a page slow.

Sources: tmpfs(5); admin-guide/mm/transhuge.rst of the kernel's documentation ("always" may stall an allocation for
reclaim and compaction); proc_swaps(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed.config import SimConfig, size_bytes
from feed.doctor.finding import Check, Verdict, better, broken, ok, size, unknown

if TYPE_CHECKING:
    from feed.doctor.host import Host

__all__ = ["CHECKS", "needed"]

TOPIC_BYTES, ORDER_BYTES = 88, 72
"""As config/feed.toml says of log.max_topics and control.book_orders."""

QUOTE_BYTES = 40 + 80
"""A quote in the log: a frame's header and the record (feed/log/layout.h, feed/wire/records.h)."""

HORIZON_S = 10.0
"""A bot that is started anew takes some seconds; if the log reaches no further back, it needs the archive."""

LOOK_S = 0.5


def needed(host: Host) -> int:
    """Bytes of shared memory that the log takes at once."""
    return size_bytes(host.config.log.bytes) + host.config.log.max_topics * TOPIC_BYTES


def _room(host: Host) -> Verdict:
    at, need = host.config.directory, needed(host)
    total, free = host.space(at)
    found = f"{size(free)} of {size(total)} free at {at.parent}, the log takes {size(need)}"
    if host.log(at) is not None:
        return ok(f"{found} and has it")
    want = -(-2 * (need + host.config.control.book_orders * ORDER_BYTES) // (1 << 20))
    command = (
        f"sudo mount -o remount,size={want}m /dev/shm  # in a container: --shm-size={want}m; or a smaller log.bytes"
    )
    if free < need:
        return broken(found, command)
    if free < need + host.config.control.book_orders * ORDER_BYTES:
        return better(f"{found}; books of {host.config.control.book_orders:,} orders do not fit beside it", command)
    return ok(found)


def _file_system(host: Host) -> Verdict:
    at = host.config.directory
    mounts = [line.split() for line in host.text("/proc/self/mountinfo").splitlines()]
    kinds = {words[4]: words[words.index("-") + 1] for words in mounts}
    point = next(str(each) for each in (at, *at.parents) if str(each) in kinds)
    if kinds[point] in {"tmpfs", "ramfs", "hugetlbfs"}:
        return ok(f"{kinds[point]} at {point}")
    return better(f"{at} is on {kinds[point]}, at {point}", "feed run --set log.root=/dev/shm/tickcast")


def _horizon(host: Host) -> Verdict:
    nbytes, seen = size_bytes(host.config.log.bytes), ""
    if host.running():
        before = host.log(host.config.directory)
        host.pause(LOOK_S)
        after = host.log(host.config.directory)
        if before is None or after is None or after.tail <= before.tail:
            return unknown("the feed runs, but nothing comes")
        nbytes, rate, seen = after.log_bytes, (after.tail - before.tail) / LOOK_S, "now"
    else:
        sims = [each for each in host.config.source.values() if isinstance(each, SimConfig) and each.rate]
        if not sims or len(sims) < len(host.config.source):
            return unknown("the feed does not run, and its rate is not configured")
        rate, seen = sum(each.rate for each in sims) * QUOTE_BYTES, "as configured"
    found = f"{nbytes / rate:,.1f} s at {rate / 1e6:.1f} MB/s, {seen}"
    if nbytes / rate >= HORIZON_S:
        return ok(found)
    more = 1 << (int(rate * 2 * HORIZON_S) - 1).bit_length()
    return better(
        found,
        f"feed run --set log.bytes={max(1, more >> 20)}MiB"
        + " --set archive.path=FOLDER" * (not host.config.archive.path),
    )


def _huge_pages(host: Host) -> Verdict:
    folder = "/sys/kernel/mm/transparent_hugepage"
    mode, shared = _chosen(host.text(f"{folder}/enabled")), "?"
    if host.exists(f"{folder}/shmem_enabled"):
        shared = _chosen(host.text(f"{folder}/shmem_enabled"))
    found = f"transparent: {mode}, in shared memory: {shared}"
    if mode == "always":
        return better(found, f"echo madvise | sudo tee {folder}/enabled")
    return ok(found)


def _chosen(text: str) -> str:
    """Of "always [madvise] never" the one in brackets. ValueError."""
    return text[text.index("[") + 1 : text.index("]")]


def _swap(host: Host) -> Verdict:
    areas = [line.split() for line in host.text("/proc/swaps").splitlines()[1:]]
    if not areas:
        return ok("none")
    total, used = (sum(int(words[column]) for words in areas) * 1024 for column in (2, 3))
    found = f"{size(used)} of {size(total)} in use"
    return better(found, "sudo swapoff -a") if used else ok(found)


def _available(host: Host) -> Verdict:
    fields = dict(line.split(":") for line in host.text("/proc/meminfo").splitlines())
    free, need = int(fields["MemAvailable"].split()[0]) * 1024, needed(host)
    found = f"{size(free)} available"
    if host.log(host.config.directory) is not None or free >= 2 * need:
        return ok(found)
    command = "feed run --set log.bytes=64MiB  # or more memory"
    if free < need:
        return broken(f"{found}, the log alone takes {size(need)}", command)
    return better(f"{found}, of which the log takes {size(need)}", command)


CHECKS = [
    Check("room for the log", "The feed does not start if its log does not fit.", _room),
    Check("file system", "On a disk the kernel writes the log back, and a tick may wait for the disk.", _file_system),
    Check("horizon", "A bot that is behind or away for longer has lost ticks, unless there is an archive.", _horizon),
    Check("available", "Without memory the kernel ends processes, the feed's among them.", _available),
    Check("huge pages", 'With "always" a page fault may wait until the kernel has moved memory together.', _huge_pages),
    Check(
        "swap", "A page that was swapped out is read from the disk when it is touched: a tick waits for that.", _swap
    ),
]
