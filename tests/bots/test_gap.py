from bots.gap import CAUSES, Gap, Losses
from bots.order import CAUSES as ORDER_CAUSES


def test_a_gap_knows_its_parts() -> None:
    gap = Gap("quote.BRK.B", 5, 9, "slow", 1)
    assert (gap.schema, gap.symbol, gap.count) == ("quote", "BRK.B", 5)


def test_nobody_knows_what_an_epoch_took() -> None:
    gap = Gap("*", 0, 0, "epoch", 2)
    assert (gap.symbol, gap.count) == ("*", 0)
    losses = Losses()
    losses.add(gap)
    losses.add(Gap("trade.A", 1, 4, "epoch", 2))
    assert (losses.gaps, losses.ticks) == ({"epoch": 2}, {"epoch": 4})


def test_every_cause_has_its_words() -> None:
    assert set(ORDER_CAUSES) <= set(CAUSES)
    assert Gap("quote.A", 5, 9, "expired", 1).why == "older than what the feed's log and archive still hold"
    assert Gap("quote.A", 5, 9, "of a newer feed", 1).why == "of a newer feed"
