"""Sums: the published vectors, and the same from the processor's instruction as from the table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.store.block import crc32c

VECTORS = [
    # RFC 3720, appendix B.4
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (b"123456789", 0xE3069283),
    (b"", 0),
]


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize(("data", "sum_"), VECTORS)
def test_published_vectors(data: bytes, sum_: int, table: bool) -> None:
    assert crc32c(data, table=table) == sum_


@given(st.binary(max_size=200), st.integers(0, 200))
def test_the_instruction_and_the_table_agree(data: bytes, times: int) -> None:
    assert crc32c(data * times) == crc32c(data * times, table=True)
