"""The specification's example program runs as printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import zmq

from feed.wire.frames import encode
from feed.wire.records import BY_WORD, SCHEMAS
from feed.wire.topics import topic

README = (Path(__file__).parents[2] / "feed" / "wire" / "README.md").read_text()


def test_the_reader_in_ten_lines_reads_a_batch() -> None:
    program = README.split("<!-- example reader -->\n```python\n")[1].split("```\n<!-- end -->")[0]
    quotes = np.zeros(2, BY_WORD["quote"].dtype)
    quotes["bid_px"] = [189_950_000_000, 189_960_000_000]
    quotes["ask_px"] = [189_970_000_000, 189_980_000_000]
    message = encode(topic("quote", "AAPL"), quotes, epoch=1, seq=1000, topic_seq=42, seqs=[1000, 1003])
    other = encode(topic("quote", "AAPLW"), quotes, epoch=1, seq=1004, topic_seq=1)
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    publisher.linger = 0
    publisher.rcvtimeo = 30_000
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    reader = subprocess.Popen(
        [sys.executable, "-c", program.replace("tcp://127.0.0.1:5551", f"tcp://127.0.0.1:{port}")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert publisher.recv() == b"\x01quote.AAPL|"
        publisher.send(other)
        publisher.send(message)
        assert reader.stdout is not None
        lines = [reader.stdout.readline(), reader.stdout.readline()]
    finally:
        reader.kill()
        reader.communicate()
        publisher.close()
        context.term()
    assert lines == ["quote.AAPL 42 189.95 189.97\n", "quote.AAPL 43 189.96 189.98\n"]


def test_the_table_of_schemas_is_the_codes() -> None:
    for schema in SCHEMAS:
        row = next(line for line in README.splitlines() if line.startswith("|") and f"`{schema.word}`" in line)
        assert f"| {schema.record_bytes} |" in row
        assert row.endswith("| yes |") == schema.conflatable
