from bots.gap import Gap, Losses


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
