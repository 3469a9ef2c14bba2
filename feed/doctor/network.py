"""The network: the feed's addresses, the kernel's buffers, the cards.

Sources: admin-guide/sysctl/net.rst of the kernel's documentation (buffers; 50 µs is what it recommends for busy polling
several sockets), networking/napi.rst (gro_flush_timeout, napi_defer_hard_irqs), TCP_RTO_MIN of include/net/tcp.h,
ethtool(8), section --coalesce. Times that a buffer holds are arithmetic: its size over the bytes of 50,000 quotes/s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed.doctor.finding import Check, Verdict, better, broken, ok, size, unknown
from feed.ports import Endpoint, parse_endpoint

if TYPE_CHECKING:
    from feed.doctor.host import Host

__all__ = ["CHECKS"]

BUFFER_BYTES = 2 << 20
BYTES_PER_S = 50_000 * 147
"""Quotes as frames of one tick on the wire."""

BACKLOG = 10_000
BUSY_US = 50
COALESCED_US = 10
"""Near the whole latency target of 13.4 µs at p50."""


def _endpoints(host: Host) -> dict[str, Endpoint]:
    """Every configured address by its key."""
    config = host.config
    texts = {"control.endpoint": config.control.endpoint, "monitor.endpoint": config.monitor.endpoint}
    for name, publisher in config.publish.items():
        texts |= {f"publish.{name}.{key}": text for key, text in publisher.addresses().items()}
    return {key: parse_endpoint(text, where=key, bare="://" not in text) for key, text in texts.items() if text}


def _local(host: Host) -> bool:
    """Whether nothing listens beyond this host, so that cards do not matter."""
    return all(endpoint.loopback for endpoint in _endpoints(host).values())


def _addresses(host: Host) -> Verdict:
    endpoints = _endpoints(host)
    if host.running():
        return ok(f"the feed runs and has its {len(endpoints)}")
    taken = {key: why for key, endpoint in endpoints.items() if (why := host.taken(endpoint)) is not None}
    if not taken:
        return ok(f"{len(endpoints)} free: {', '.join(map(str, endpoints.values()))}")
    found = "; ".join(f"{endpoints[key]} ({key}): {why}" for key, why in taken.items())
    key = next(iter(taken))
    free = "ipc://ANOTHER.PATH" if endpoints[key].transport == "ipc" else "ADDRESS:ANOTHER_PORT"
    return broken(found, f"feed run --set {key}={free}  # or end that process")


def _buffer(host: Host, name: str) -> Verdict:
    limit = host.number(f"/proc/sys/net/core/{name}")
    found = f"at most {size(limit)}, {1e3 * limit / BYTES_PER_S:,.0f} ms of 50,000 quotes/s"
    return ok(found) if limit >= BUFFER_BYTES else better(found, f"sudo sysctl -w net.core.{name}={BUFFER_BYTES}")


def _backlog(host: Host) -> Verdict:
    limit = host.number("/proc/sys/net/core/netdev_max_backlog")
    dropped = sum(int(line.split()[1], 16) for line in host.text("/proc/net/softnet_stat").splitlines())
    found = f"{limit:,} packets wait at most; {dropped:,} dropped since boot"
    if not dropped:
        return ok(found)
    return better(found, f"sudo sysctl -w net.core.netdev_max_backlog={max(BACKLOG, 2 * limit)}")


def _busy_poll(host: Host) -> Verdict:
    poll, read = (host.number(f"/proc/sys/net/core/{name}") for name in ("busy_poll", "busy_read"))
    found = f"poll {poll} µs, read {read} µs" if poll or read else "off"
    if _local(host):
        return ok(f"{found}; nothing listens beyond this host")
    if poll and read:
        return ok(found)
    return better(found, f"sudo sysctl -w net.core.busy_poll={BUSY_US} net.core.busy_read={BUSY_US}")


def _cards(host: Host) -> Verdict:
    names = [each.split("/")[4] for each in host.matching("/sys/class/net/*/device")]
    if not names:
        return unknown("no network card is shown")
    told, remedies = [], []
    for name in names:
        said, remedy = _card(host, name)
        told.append(said)
        remedies += [remedy] if remedy else []
    found = "; ".join(told)
    if not remedies:
        return ok(found)
    return ok(f"{found}; nothing listens beyond this host") if _local(host) else better(found, " && ".join(remedies))


def _card(host: Host, name: str) -> tuple[str, str]:
    """What delays packets in one card, and the command against it."""
    folder = f"/sys/class/net/{name}"
    wait_ns, defer = host.number(f"{folder}/gro_flush_timeout"), 0
    if host.exists(f"{folder}/napi_defer_hard_irqs"):
        defer = host.number(f"{folder}/napi_defer_hard_irqs")
    texts = [f"{name} {host.text(f'{folder}/operstate')}", f"MTU {host.text(f'{folder}/mtu')}"]
    remedies = []
    if wait_ns and defer:
        texts.append(f"interrupts put off for {wait_ns / 1e3:g} µs")
        remedies.append(f"echo 0 | sudo tee {folder}/napi_defer_hard_irqs")
    try:
        gathered = host.coalescing(name)
    except OSError as error:
        texts.append(f"its coalescing can't be read ({error.strerror})")
    else:
        texts.append(
            f"gathers for {'up to some' if gathered.adaptive else ''} {gathered.rx_usecs} µs".replace("  ", " ")
        )
        if gathered.adaptive or gathered.rx_usecs >= COALESCED_US:
            remedies.append(f"sudo ethtool -C {name} adaptive-rx off rx-usecs 0")
    return ", ".join(texts), " && ".join(remedies)


CHECKS = [
    Check("addresses", "The feed does not start on an address that somebody else has.", _addresses),
    Check(
        "receive buffer",
        "A burst of UDP that does not fit while the reader is away is lost.",
        lambda host: _buffer(host, "rmem_max"),
    ),
    Check("send buffer", "A sender waits, or drops, when its buffer is full.", lambda host: _buffer(host, "wmem_max")),
    Check(
        "backlog",
        "Packets that a processor has no room for are lost; TCP sends them again, up to 200 ms later.",
        _backlog,
    ),
    Check(
        "busy polling",
        "Without it a packet waits for the card's interrupt and the wake-up behind it, some µs.",
        _busy_poll,
    ),
    Check("cards", "A card that gathers packets for one interrupt holds the first one back by that long.", _cards),
]
