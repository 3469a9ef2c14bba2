"""Ticks beside other tasks: a subscriber in an asyncio program.

    python asyncio_bot.py AAPL [--feed tcp://127.0.0.1:5550]

The loop sleeps on the transport's own file descriptor: no polling, no zmq.asyncio, no thread of yours.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from bots import Subscriber

arguments = argparse.ArgumentParser()
arguments.add_argument("symbols", nargs="+")
arguments.add_argument("--feed", default="tcp://127.0.0.1:5550")
arguments.add_argument("--count", type=int, default=0, help="end after so many ticks")
options = arguments.parse_args()


async def tell(sub: Subscriber) -> None:
    """Something else that goes on at the same time."""
    while True:
        stats = sub.stats()
        print(f"{stats['ticks']} ticks over {stats['transport']}, lost {sum(stats['lost'].values())}", flush=True)
        await asyncio.sleep(1)


async def main() -> None:
    count = 0
    async with Subscriber(options.symbols, ["quote", "trade"], feed=options.feed) as sub:
        telling = asyncio.create_task(tell(sub))
        async for tick in sub:
            count += 1
            if count % 1000 == 0 or count == options.count:
                print(f"{tick.symbol} {tick.schema} {tick.topic_seq}, the {count}th", flush=True)
            if count == options.count:
                break
        telling.cancel()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
