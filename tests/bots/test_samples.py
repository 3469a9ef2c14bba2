"""Sampled ticks: few of many, and the same ones at every bot that has them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bots.samples import Samples

SAMPLES = 64


def put(samples: Samples, first: int, end: int) -> None:
    for seq in range(first, end):
        samples.put(seq, 1000 + seq)


@given(st.integers(0, 2**40), st.integers(0, 100_000))
def test_samples_of_a_whole_stream_are_few_and_even(first: int, n: int) -> None:
    samples = Samples()
    put(samples, first, first + n)
    taken = [seq for seq, _ in samples.take()]
    assert len(taken) <= SAMPLES
    stride = 64
    while sum(1 for _ in range(-(-first // stride) * stride, first + n, stride)) > SAMPLES:
        stride *= 2
    assert taken == list(range(-(-first // stride) * stride, first + n, stride))
    assert samples.take() == []


@given(st.integers(0, 2**40), st.integers(0, 50_000), st.integers(1, 50_000))
def test_two_bots_that_have_the_same_ticks_compare_all_of_the_rarer_sampler(first: int, late: int, n: int) -> None:
    one, other = Samples(), Samples()
    put(one, first, first + late + n)
    put(other, first + late, first + late + n)
    rarer = {seq for seq, _ in one.take() if seq >= first + late}
    assert rarer <= {seq for seq, _ in other.take()}
