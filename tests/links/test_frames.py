"""What every link of whole frames knows of numberings before it has heard of a topic."""

from __future__ import annotations

from bots.links.frames import Script
from bots.order import TopicOrder
from feed.wire.records import BY_WORD

QUOTE, TRADE = BY_WORD["quote"].id, BY_WORD["trade"].id


def test_where_nobody_knows_the_first_frame_tells() -> None:
    link = Script("epgm")
    assert link.baseline(link.index_of_key(QUOTE, "AAPL")) == (0, False)


def test_what_is_expected_is_the_topics_baseline() -> None:
    link = Script("epgm")
    link.expect(7, {(QUOTE, "AAPL"): 5})
    known, new = link.index_of_key(QUOTE, "AAPL"), link.index_of_key(TRADE, "AAPL")
    assert link.baseline(known) == (5, False)
    assert link.baseline(new) == (1, False)  # it did not exist: its first record will be its first
    for topic, first, gap in ((known, 4, None), (known, 7, (5, 6)), (new, 1, None), (new, 3, (1, 2))):
        order = TopicOrder()
        order.begin(7)
        order.start(topic, *link.baseline(topic))
        told = order.take(topic, 7, first, 1)[1]  # what was under way when it was asked may still come
        assert (told and told[:2]) == gap
