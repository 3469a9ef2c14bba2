"""A feed and its archive in one process that somebody else kills, again and again, and the proof of what it left.

    python -m tests.store.killed SAID

For every line "LOG FOLDER" on its standard input one child is forked and its process id printed; a second line reaps
it. The child goes on with log and archive where the one before was killed, and stores in SAID two u64: what it was told
is durable, and how many turns it made.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from feed.log.reader import LogReader
from feed.log.writer import LogWriter
from feed.store.folder import segments
from feed.store.reader import Block, StoreReader
from feed.store.seal import compress
from feed.store.writer import StoreWriter

TOPICS = 7
LOG_BYTES = 16 << 20
WORDS = (np.arange(1, 11, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
FRAME = np.dtype(
    [
        ("length", "<u4"),
        ("topic_id", "<u4"),
        ("seq", "<u8"),
        ("topic_seq", "<u8"),
        ("ts_in", "<u8"),
        ("committed_delta", "<u4"),
        ("kind", "<u2"),
        ("flags", "<u2"),
        ("record", "<u8", 10),
    ]
)


def records(first: int, n: int) -> npt.NDArray[np.uint64]:
    """The records that are numbered so, whoever writes them: ten words that follow from the number."""
    return np.arange(first, first + n, dtype=np.uint64)[:, None] * WORDS


def run(log: Path, folder: Path, said: memoryview) -> None:
    """Write until killed."""
    chance = random.Random()
    with LogWriter.open(log, log_bytes=LOG_BYTES, max_topics=64) as feed:
        reader = LogReader.open(log, start="begin")
        for i in range(TOPICS):
            feed.topic("quote", f"S{i}")
        writer = StoreWriter(folder, segment_bytes=200_000)
        writer.begin(feed.epoch, [(i, *reader.topic(i)) for i in range(reader.topic_count)])
        said[0] = max(said[0], writer.durable_seq)
        while True:
            n = chance.randrange(1, 300)
            ids = (np.arange(feed.next_seq, feed.next_seq + n) % TOPICS).astype(np.uint32)
            feed.publish_batch(ids, records(feed.next_seq, n).view(np.uint8).ravel(), 80)
            writer.take(reader, chance.choice((50, 1 << 16)))
            if chance.random() < 0.2:
                said[0] = writer.sync()
            if chance.random() < 0.1:
                writer.seal()
                for segment in segments(folder):
                    if not segment.compressed and segment.path != writer.path:
                        compress(segment.path)
            said[1] += 1
            time.sleep(0.0005)


def prove(reader: StoreReader) -> tuple[int, int]:
    """The first and the last seq of what it gives now, in which nothing is missing and every record is right."""
    first = last = 0
    while (block := reader.read_block()) is not None:
        assert not block.missing, f"{block.first_seq} to {block.last_seq} are missing: {block.missing}"
        assert first == 0 or block.first_seq == last + 1
        prove_block(block)
        first, last = first or block.first_seq, block.last_seq
    return first, last


def prove_block(block: Block) -> None:
    """Every record of a block of frames is the one that its number says."""
    frames = np.frombuffer(block.data, FRAME)
    ticks = frames[frames["kind"] == 0]
    seqs = np.arange(block.first_seq, block.last_seq + 1)
    assert (frames["length"] == FRAME.itemsize).all()
    assert (ticks["seq"] == seqs).all()
    assert (ticks["topic_id"] == seqs % TOPICS).all()
    assert (ticks["record"] == records(block.first_seq, len(seqs))).all()


class Nursery:
    """The process that forks the children, as seen by who kills them."""

    def __init__(self, directory: Path) -> None:
        path = directory / "said"
        path.write_bytes(bytes(16))
        with path.open("r+b") as f:
            self._said = memoryview(mmap.mmap(f.fileno(), 16)).cast("Q")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.killed", str(path)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    @property
    def durable_seq(self) -> int:
        """What the children were told is durable."""
        return self._said[0]

    @property
    def turns(self) -> int:
        """How many the child has made."""
        return self._said[1]

    def begin(self, log: Path, folder: Path, *, anew: bool = False) -> None:
        """Have a child go on with these, or begin with them."""
        if anew:
            self._said[0] = 0
        self._said[1] = 0
        self._child = int(self._ask(f"{log} {folder}"))

    def kill(self) -> None:
        os.kill(self._child, signal.SIGKILL)
        assert self._ask("") == "1\n", "it ended by itself"

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        return self._process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()


def main(path: Path) -> None:
    with path.open("r+b") as f:
        said = memoryview(mmap.mmap(f.fileno(), 16)).cast("Q")
    for line in sys.stdin:
        log, folder = map(Path, line.split())
        child = os.fork()
        if child == 0:
            try:
                run(log, folder, said)
            finally:
                os._exit(1)
        print(child, flush=True)
        sys.stdin.readline()
        _, status = os.waitpid(child, 0)
        print(int(os.waitstatus_to_exitcode(status) == -signal.SIGKILL), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
