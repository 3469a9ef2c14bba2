"""Bytes that nobody vouches for: never a crash, never a byte read too far, and only WireError out of Python.

100,000 frames here; 10 million by ``make -C tests/wire/fuzz``.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import WireError
from feed.wire.frames import decode, decode_firehose

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOLDEN = sorted((HERE / "golden").glob("*.bin"))


def fuzz(build: Path, root: Path, cases: int) -> subprocess.CompletedProcess[str]:
    make = ["make", "-C", str(HERE / "fuzz"), f"ROOT={root}", f"BUILD={build}", f"CASES={cases}", "SEED=3"]
    return subprocess.run(make, capture_output=True, text=True, check=False)


def test_mutated_frames_under_the_sanitizers(tmp_path: Path) -> None:
    done = fuzz(tmp_path, ROOT, 100_000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100000 cases" in done.stdout


@pytest.mark.parametrize(
    ("guard", "without"),
    [
        ("n < TC_WIRE_TOPIC_MAX ? n : TC_WIRE_TOPIC_MAX", "n == 0 ? n : TC_WIRE_TOPIC_MAX"),
        ("if (n - out->topic_length < TC_WIRE_HEADER) return TC_WIRE_SHORT;", ""),
        ("return rest == records ? TC_WIRE_OK : TC_WIRE_BAD_LENGTH;", "return TC_WIRE_OK;"),
        ("if (rest != records + (uint64_t)out->header.count * TC_WIRE_STEP) return TC_WIRE_BAD_LENGTH;", ""),
        ("log.length > n ||", ""),
        ("if (n < TC_WIRE_LOG_HEADER) return 0;", ""),
        ("log.length < TC_WIRE_LOG_HEADER ||", ""),
    ],
)
def test_a_missing_guard_is_noticed(tmp_path: Path, guard: str, without: str) -> None:
    wire = tmp_path / "feed" / "wire"
    wire.mkdir(parents=True)
    source = (ROOT / "feed" / "wire" / "frame.h").read_text()
    assert source.count(guard) == 1
    (wire / "frame.h").write_text(source.replace(guard, without))
    (wire / "records.h").write_text((ROOT / "feed" / "wire" / "records.h").read_text())
    done = fuzz(tmp_path / "build", tmp_path, 100_000)
    assert done.returncode != 0
    assert "AddressSanitizer" in done.stderr or "runtime error" in done.stderr or "FAILED" in done.stdout, done.stderr


def test_mutated_golden_frames_through_python() -> None:
    rng = random.Random(11)
    frames = [path.read_bytes() for path in GOLDEN]
    taken = refused = 0
    for _ in range(20_000):
        data = bytearray(rng.choice(frames))
        for _ in range(rng.randrange(1, 4)):
            match rng.randrange(4):
                case 0:
                    del data[rng.randrange(len(data) + 1) :]
                case 1:
                    data += rng.randbytes(rng.randrange(1, 20))
                case _ if data:
                    data[rng.randrange(min(len(data), 80))] = rng.choice((0, 1, 255, rng.randrange(256)))
        for read in (decode, decode_firehose):
            try:
                read(bytes(data))
                taken += 1
            except WireError:
                refused += 1
    assert taken > 1000
    assert refused > 1000


@given(st.binary(max_size=300), st.sampled_from([b"", b"quote.AAPL|", b"heartbeat|", b"*|", b"quote.AAPL|\x54\x01"]))
def test_arbitrary_bytes(data: bytes, beginning: bytes) -> None:
    for read in (decode, decode_firehose):
        with contextlib.suppress(WireError):
            read(beginning + data)
