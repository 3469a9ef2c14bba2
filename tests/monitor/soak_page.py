"""Ten minutes of the page with 200 bots and 10,000 symbols: what it costs, and whether it grows.

    python -m tests.monitor.soak_page [MINUTES]

Each minute a line: processor time of the page's main thread and of the whole browser as shares of a core, JavaScript's
heap after garbage collection, the document's nodes. It fails when the heap of the last minute is more than 1 MB above
that of the first: by then all 15 minutes of history are there, so nothing has a reason to grow.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.monitor.chromium import Chromium
from tests.monitor.page.standin import StandIn

GROWTH_BYTES = 1_000_000


async def soak(minutes: int) -> bool:
    """Did the heap keep its size?"""
    heaps = []
    with tempfile.TemporaryDirectory(prefix="tickcast-page-", ignore_cleanup_errors=True) as folder:
        async with StandIn() as server, Chromium(Path(folder)) as browser:
            await browser.open(server.url)
            await asyncio.sleep(5)
            for minute in range(1, minutes + 1):
                # Some come and go, as on a live day.
                server.bots_count = 200 - minute % 2 * 10
                server.happens("bot", "note", f"minute {minute}")
                began, before, group = time.monotonic(), await browser.metrics(), processor_s(browser.pid)
                await asyncio.sleep(60)
                took, after = time.monotonic() - began, await browser.metrics()
                page = (after["TaskDuration"] - before["TaskDuration"]) / took
                whole = (processor_s(browser.pid) - group) / took
                heaps.append(await browser.heap())
                line = f"minute {minute:2}: page {page:5.1%}, browser {whole:5.1%} of a core"
                print(f"{line}, heap {heaps[-1] / 1e6:.2f} MB, {after['Nodes']:.0f} nodes", flush=True)
            for complaint in browser.complaints:
                print(complaint)
            return heaps[-1] - heaps[0] < GROWTH_BYTES and not browser.complaints


def processor_s(group: int) -> float:
    """Processor time of a process group's living members, s."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(not asyncio.run(soak(int(sys.argv[1]) if len(sys.argv) > 1 else 10)))
