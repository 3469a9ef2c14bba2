"""Some thousands of the damaged messages of Nasdaq's protocols; fuzz/nasdaq.py makes millions of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.normalize.fuzz.nasdaq import IN_THE_SUITE, PROTOCOLS, run
from tests.normalize.itch_messages import split

if TYPE_CHECKING:
    from pathlib import Path

COUNTED = {
    "itch": ("unknown_order", "wrong_length", "unknown_type", "wrong_locate"),
    "mold": ("bad_block", "bytes_left", "sequence_jump", "unknown_order"),
    "soup": ("unknown_packet", "unknown_order", "broken", "ended"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_whatever_comes_is_counted_and_comes_to_an_end(protocol: str, data_dir: Path) -> None:
    messages = split((data_dir / "runk-itch/test/locate-13-10k.bin").read_bytes())
    seen = run(protocol, messages, IN_THE_SUITE, 1)
    assert all(seen[reason] for reason in COUNTED[protocol]), seen
