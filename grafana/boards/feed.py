"""What passes through, how late, and where it loses its time."""

from __future__ import annotations

from feed.metrics.table import STAGES
from grafana.panels import Dashboard, Expr, heatmap, lines, number
from grafana.queries import RATE, TARGETS, bucket_quantile, of, per_s

__all__ = ["feed"]


def feed() -> Dashboard:
    no_mold = f"or on (publisher) 0 * sum by (publisher) ({of('tickcast_sent_total')})"
    board = Dashboard(
        "feed",
        "Is the feed well, how late are its ticks, and in which stage do they lose their time? Read from the top: the "
        "first stage whose figures rise is where to look.",
        others=("bots", "venues", "host"),
    )
    board.row(
        "Now",
        number(
            "Ticks per second",
            "Put into the log, all sources.",
            "short",
            Expr(per_s("instance", "tickcast_log_ticks_total")),
        ),
        number(
            "Within target",
            "Share of the last minute's ticks that kept the target that is kept worst.",
            "percentunit",
            Expr(f"min({of('tickcast_latency_within_target_ratio', window='1m')})"),
        ),
        number(
            "Burn",
            "Of the target that is kept worst, over a minute: how many times as many ticks miss it as may. 1 is just "
            "good enough.",
            "short",
            Expr(f"max({of('tickcast_latency_burn_ratio', window='1m')})"),
            red_above=1,
        ),
        number(
            "Bots",
            "That reported in the last 10 s.",
            "short",
            Expr(f"sum(time() - {of('tickcast_bot_report_timestamp_seconds')} < bool 10)"),
        ),
        number(
            "Lost for good",
            "Ticks that bots will never have, since the feed began. They were told which.",
            "short",
            Expr(f"sum({of('tickcast_lost_ticks_total')}) or 0 * sum({of('tickcast_log_bytes')})"),
            red_above=0.5,
        ),
        number(
            "Agents not up",
            "See dashboard host.",
            "short",
            Expr(f"sum({of('tickcast_agent_up')} == bool 0)"),
            red_above=1,
        ),
    )
    board.row(
        "Targets",
        lines(
            "Share within target",
            "Of all ticks, over all bots, from ts_in to the callback. For quantile 0.99 the target is kept while 99 % "
            "are within.",
            "percentunit",
            Expr(of("tickcast_latency_within_target_ratio", window="1m"), "quantile {{quantile}}, 1 min"),
            Expr(of("quantile:tickcast_latency_within_target:ratio_rate1h"), "quantile {{quantile}}, 1 h"),
        ),
        lines(
            "Burn rate",
            "Share that missed the target over the share that may. Alerts want two windows above their line (14.4 in "
            "1 h and 5 min, 6 in 6 h and 30 min): a short peak wakes nobody, and an alert ends soon after its cause.",
            "short",
            Expr(of("quantile:tickcast_latency_burn:ratio_rate5m"), "quantile {{quantile}}, 5 min"),
            Expr(of("quantile:tickcast_latency_burn:ratio_rate1h"), "quantile {{quantile}}, 1 h"),
            Expr(of("quantile:tickcast_latency_burn:ratio_rate6h"), "quantile {{quantile}}, 6 h"),
        ),
    )
    for number_, (stage, what) in enumerate(STAGES.items(), start=1):
        exact = Expr(
            of("tickcast_latency_quantile_seconds", stage=stage, window="10s", quantile="~0.5|0.99|0.999|1"),
            "{{transport}} {{quantile}}",
        )
        board.row(
            f"Stage {number_}, {stage}: {what}",
            lines(
                f"{stage}: quantiles",
                f"{what}. Exact, over the last 10 s; quantile 1 is the longest.",
                "s",
                *((exact, TARGETS) if stage == "total" else (exact,)),
                log=True,
            ),
            heatmap(
                f"{stage}: how many took how long",
                "All transports. Two bands are two kinds of ticks or bots, which a quantile hides; there is an edge "
                "at each target.",
                Expr(f"sum by (le) (increase({of('tickcast_latency_seconds_bucket', stage=stage)}{RATE}))", "{{le}}"),
            ),
        )
    board.row(
        "Rates and drops",
        lines(
            "In: ticks per second by source",
            "Stacked.",
            "short",
            Expr(per_s("source", "tickcast_ticks_total"), "{{source}}"),
            width=8,
            stacked=True,
        ),
        lines(
            "Out: ticks per second by publisher",
            "Handed to the transport, once however many bots there are.",
            "short",
            Expr(per_s("publisher", "tickcast_sent_total"), "{{publisher}}"),
            width=8,
        ),
        lines(
            "Drops by cause",
            "Skipped by a publisher that was overtaken (overrun), or that could not fit a record into a frame "
            "(misfit). Bots ask for them again.",
            "short",
            Expr(per_s("publisher, cause", "tickcast_dropped_total"), "{{publisher}}: {{cause}}"),
            width=8,
        ),
        lines(
            "Multicast sent again",
            "Ticks per second that bots had lost and asked a mold publisher for, and requests by what came of them: "
            "answered; gone, no longer in log or archive; limited, beyond request_rate; the rest strangers'.",
            "short",
            Expr(f"{per_s('publisher', 'tickcast_resent_total')} {no_mold}", "{{publisher}}: ticks"),
            Expr(f"{per_s('publisher, outcome', 'tickcast_requests_total')} {no_mold}", "{{publisher}}: {{outcome}}"),
        ),
        lines(
            "Gaps by cause",
            "All bots, in the 2 minutes before: what nobody could fill. See the runbook, TickcastGapsUnfilled, for "
            "what each cause means.",
            "short",
            Expr(
                f"sum by (cause) ({of('bot_cause:tickcast_gaps:increase2m')}) "
                f"or on () 0 * sum({of('tickcast_log_bytes')})",
                "{{cause}}",
            ),
            width=8,
        ),
        lines(
            "Fan-out skew",
            "From the first bot to the last one that has the same tick: how equal your bots are.",
            "s",
            Expr(bucket_quantile(0.5, "", "tickcast_fanout_skew_seconds"), "0.5"),
            Expr(bucket_quantile(0.99, "", "tickcast_fanout_skew_seconds"), "0.99"),
            width=8,
            log=True,
        ),
        lines(
            "Clock differences below zero",
            "Ticks per second whose stage seemed to take less than nothing: clocks of two hosts disagree. They are in "
            "no quantile.",
            "short",
            Expr(per_s("stage, transport", "tickcast_latency_negative_total"), "{{stage}} {{transport}}"),
            width=8,
        ),
    )
    return board
