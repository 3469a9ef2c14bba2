"""feed.log.topics: what the table says is what the writer gave out and the observer names one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from feed.errors import LogMissing
from feed.log.observer import LogObserver
from feed.log.topics import TopicTable
from feed.log.writer import LogWriter
from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from pathlib import Path


def test_every_topic_with_how_far_it_is(place: Path) -> None:
    with LogWriter.open(place, log_bytes=1 << 20, max_topics=300) as writer:
        table = TopicTable(place)
        assert (table.epoch, table.open, table.seqs().tolist()) == (writer.epoch, True, [])
        symbols = ["A", "BRK B", "X" * 71, *(f"S{i}" for i in range(250))]
        topics = [(word, symbol) for word, symbol in zip(["quote", "trade", "bbo"] * 90, symbols, strict=False)]
        for i, (word, symbol) in enumerate(topics):
            topic = writer.topic(word, symbol)
            for _ in range(i % 5):
                writer.publish(topic, bytes(BY_WORD[word].record_bytes))
        assert table.seqs().tolist() == [i % 5 for i in range(len(topics))]
        observer = LogObserver(place)
        assert observer.topic_count == len(topics)
        assert table.names(0, len(topics)) == [".".join(observer.topic(i)) for i in range(len(topics))]
        assert table.names(1, 3) == ["trade.BRK B", f"bbo.{'X' * 71}"]
        writer.close(remove=True)
        assert not table.open


def test_no_log(tmp_path: Path) -> None:
    with pytest.raises(LogMissing):
        TopicTable(tmp_path)
