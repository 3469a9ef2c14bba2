"""The fast writer: batches of all sizes into the smallest log there is, so that segments turn over all the time."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from random import Random

import numpy as np

from feed.log.writer import LogWriter
from tests.log.race.records import SIZES, TOPICS, batch, expected, topic

LAST = 1 << 15
"""Flag of the last record."""
LOG_BYTES = 1 << 20


def write(directory: Path, seconds: float, seed: int) -> dict[str, int]:
    """For so long, after whatever an earlier writer did; then the last record.

    :returns: how many records the writers committed, all together.
    """
    random = Random(seed)
    end = time.monotonic() + seconds
    with LogWriter.open(directory, log_bytes=LOG_BYTES, max_topics=64) as writer:
        ids = np.array([writer.topic("trade", f"T{t}") for t in range(TOPICS)], np.uint32)
        while time.monotonic() < end:
            seq, count, nbytes = writer.next_seq, random.choice((1, 2, 60, 900)), random.choice(SIZES)
            topics = ids[np.arange(seq, seq + count) % TOPICS]
            writer.publish_batch(topics.data, batch(seq, count, nbytes).data, nbytes)
            if random.random() < 0.1:
                time.sleep(random.random() * 2e-3)
        seq = writer.next_seq
        writer.publish(int(ids[topic(seq)]), expected(seq, SIZES[0]), flags=LAST)
        return {"committed": seq}


if __name__ == "__main__":
    print(json.dumps(write(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))))
