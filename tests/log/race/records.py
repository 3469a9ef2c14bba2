"""Records that prove themselves: what one holds follows from its seq, and no two seqs near each other hold the same.

A record is its seq and then a piece of one fixed table of words, cut at a place that follows from the seq. A record
of which any word came from another frame is therefore found. Half of the words are 0, as in real records: to a
reader whose place was overwritten a zero looks like a frame that is not there yet. The sizes change from batch to
batch, so that the frames of one lap do not lie where those of the lap before lay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WORD = 8
SIZES = (48, 56, 80, 368, 520)
"""Bytes of a record, as in feed/wire/records.h."""
TOPICS = 7
"""Record seq is of topic seq % TOPICS, so that its topic_seq follows from its seq too."""

_PLACES = 4093  # a prime: seqs that are a lap apart share a place only by chance
_COUNT = _PLACES + max(SIZES) // WORD
_random = np.random.default_rng(1)
_words = _random.integers(1, 2**64, _COUNT, np.uint64) * _random.integers(0, 2, _COUNT, np.uint64)
_table: bytes = _words.tobytes()


def batch(first_seq: int, count: int, nbytes: int) -> NDArray[np.uint8]:
    """The records of `count` seqs, end to end."""
    seqs = np.arange(first_seq, first_seq + count, dtype=np.uint64)
    places = (seqs % np.uint64(_PLACES)).astype(np.intp)
    words = _words[places[:, None] + np.arange(nbytes // WORD)]
    words[:, 0] = seqs
    records: NDArray[np.uint8] = words.view(np.uint8).reshape(-1)
    return records


def expected(seq: int, nbytes: int) -> bytes:
    """The record of a seq."""
    place = seq % _PLACES * WORD
    return seq.to_bytes(WORD, "little") + _table[place + WORD : place + nbytes]


def topic(seq: int) -> int:
    return seq % TOPICS


def topic_seq(seq: int) -> int:
    """How many records of the topic there are up to this one; the first record of all has seq 1."""
    return seq // TOPICS + (seq % TOPICS != 0)
