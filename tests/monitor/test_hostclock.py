"""feed.monitor.hostclock: the kernel answers."""

from __future__ import annotations

from feed.monitor.hostclock import timex


def test_the_kernel_says_how_far_the_clock_may_be_off() -> None:
    told = timex()
    assert told.maxerror_us >= told.esterror_us >= 0 or not told.synchronized
    assert told == timex() or told.maxerror_us <= timex().maxerror_us
