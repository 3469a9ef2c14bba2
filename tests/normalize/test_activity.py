from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.normalize.activity import TICKERS, alias_table, symbol_names, zipf_weights
from feed.wire.topics import check_symbol


def test_names_are_symbols_and_distinct() -> None:
    names = symbol_names(300)
    assert len(set(names)) == 300
    assert [check_symbol(name) for name in names] == names
    assert names[: len(TICKERS)] == list(TICKERS)
    assert names[100:] == [f"S{i:05d}" for i in range(101, 301)]
    assert len(TICKERS) == 100


def test_weights_follow_the_rank() -> None:
    one = zipf_weights(100, 1.0)
    assert one[0] == 2**40
    assert all(abs(weight * rank - one[0]) <= rank for rank, weight in enumerate(one, 1))
    assert zipf_weights(4, 0.0) == [2**40] * 4
    assert zipf_weights(3, 2.0) == [2**40, 2**38, 2**40 // 9]
    assert zipf_weights(2, 0.5)[1] == 777_472_127_993  # 2**40 / sqrt(2)
    assert min(zipf_weights(100, 10.0)) == 1


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_the_table_gives_each_its_weight(weights: list[int]) -> None:
    thresholds, aliases = alias_table(weights)
    chance = [0] * len(weights)
    for i, (threshold, alias) in enumerate(zip(thresholds, aliases, strict=True)):
        assert 0 <= threshold <= 1 << 32
        chance[i] += threshold
        chance[alias] += (1 << 32) - threshold
    for got, weight in zip(chance, weights, strict=True):
        assert got / (len(weights) << 32) == pytest.approx(weight / sum(weights), abs=1e-8)
