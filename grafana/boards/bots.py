"""Who is behind, misses ticks, or is later than the others."""

from __future__ import annotations

from grafana.panels import Dashboard, Expr, heatmap, lines, table, variable
from grafana.queries import RATE, TARGETS, of, per_s

__all__ = ["bots"]


def bots() -> Dashboard:
    worst = "max by (bot) "
    quantile = "tickcast_bot_latency_quantile_seconds"
    none = f"or on (bot) 0 * sum by (bot) ({of('tickcast_bot_ticks_total')})"
    none_chosen = f"or on (bot) 0 * sum by (bot) ({of('tickcast_bot_ticks_total', bot='~$bot')})"
    board = Dashboard(
        "bots",
        "Who is behind, who misses ticks, who is later than the others? Click a bot's name to see only that one below.",
        variables=(variable("bot", "Bot", f"label_values({of('tickcast_bot_ticks_total')}, bot)", many=True),),
        others=("feed", "venues", "host"),
    )
    board.row(
        "All bots",
        table(
            "Bots",
            "Lag: how far behind the feed it is now. p50 and p99: from ts_in to its callback, over a minute. Skew: "
            "how long after the first bot it has the same ticks. Gaps and lost ticks: for good, since the feed began.",
            "bot",
            {
                "Ticks/s": ("short", per_s("bot", "tickcast_bot_ticks_total")),
                "Lag": ("s", f"{worst}({of('tickcast_bot_lag_seconds')})"),
                "p50": ("s", f"{worst}({of(quantile, window='1m', quantile='0.5')})"),
                "p99": ("s", f"{worst}({of(quantile, window='1m', quantile='0.99')})"),
                "Skew": ("s", f"{worst}({of('tickcast_bot_skew_seconds')})"),
                "Gaps": ("short", f"sum by (bot) ({of('tickcast_gaps_total')}) {none}"),
                "Lost ticks": ("short", f"sum by (bot) ({of('tickcast_lost_ticks_total')}) {none}"),
                "Clock offset": ("s", f"{worst}({of('tickcast_clock_offset_seconds')})"),
                "Last report, s ago": ("s", f"time() - {worst}({of('tickcast_bot_report_timestamp_seconds')})"),
            },
            link="/d/tickcast-bots?${datasource:queryparam}&${instance:queryparam}&var-bot=${__value.text}",
        ),
    )
    board.row(
        "Latency of $bot",
        lines(
            "Quantiles",
            "From ts_in to the bot's callback. Exact, over the last 10 s; quantile 1 is the longest.",
            "s",
            Expr(of(quantile, bot="~$bot", window="10s", quantile="~0.5|0.99|1"), "{{bot}} {{transport}} {{quantile}}"),
            TARGETS,
            log=True,
        ),
        heatmap(
            "How many took how long",
            "All chosen bots together.",
            Expr(f"sum by (le) (increase({of('tickcast_bot_latency_seconds_bucket', bot='~$bot')}{RATE}))", "{{le}}"),
        ),
        lines(
            "Lag",
            "Above 0.1 s the bot is lagging. A straight climb: it is too slow for the rate. Steps: it waits for "
            "something.",
            "s",
            Expr(of("tickcast_bot_lag_seconds", bot="~$bot"), "{{bot}}"),
        ),
        lines(
            "Skew",
            "How long after the first bot it has the same ticks, median of the last report.",
            "s",
            Expr(of("tickcast_bot_skew_seconds", bot="~$bot"), "{{bot}}"),
        ),
    )
    board.row(
        "Ticks of $bot",
        lines(
            "Ticks per second",
            "That it was given.",
            "short",
            Expr(per_s("bot", "tickcast_bot_ticks_total", bot="~$bot"), "{{bot}}"),
            width=6,
        ),
        lines(
            "Filled",
            "Share of the ticks that were missing at first and came later, over a minute: late, not lost.",
            "percentunit",
            Expr(of("bot:tickcast_bot_filled_ticks:ratio_rate1m", bot="~$bot"), "{{bot}}"),
            width=6,
        ),
        lines(
            "Gaps by cause",
            "In the 2 minutes before; each was told to the bot with topic and numbers.",
            "short",
            Expr(
                f"sum by (bot, cause) ({of('bot_cause:tickcast_gaps:increase2m', bot='~$bot')}) {none_chosen}",
                "{{bot}} {{cause}}",
            ),
            width=6,
        ),
        lines(
            "Lost ticks by cause",
            "In the 2 minutes before, for good.",
            "short",
            Expr(
                f"sum by (bot, cause) ({of('bot_cause:tickcast_lost_ticks:increase2m', bot='~$bot')}) {none_chosen}",
                "{{bot}} {{cause}}",
            ),
            width=6,
        ),
    )
    board.row(
        "Lines of multicast to $bot",
        *(
            lines(
                title,
                text,
                "short",
                Expr(
                    f"{per_s('bot, line', f'tickcast_bot_line_{what}_total', bot='~$bot')} {none_chosen}",
                    "{{bot}} {{line}}",
                ),
            )
            for title, text, what in (
                ("First", "Ticks per second that a line brought before the other.", "first"),
                ("Late", "Ticks per second that the bot had already: the twin's, when both lines are well.", "late"),
                (
                    "Lost",
                    "Ticks per second that a line never brought. The other line or a request mends them; what both "
                    "lost and nobody mended is a gap.",
                    "lost",
                ),
            )
        ),
    )
    board.row(
        "Clock of $bot",
        lines(
            "Offset and bound",
            "The bot's clock minus the feed's, and how far the true offset may be from that: wire and total of this "
            "bot are no better. Nothing is needed, and 0 shown, on the feed's own host.",
            "s",
            Expr(of("tickcast_clock_offset_seconds", bot="~$bot"), "{{bot}} offset"),
            Expr(of("tickcast_clock_uncertainty_seconds", bot="~$bot"), "{{bot}} bound"),
        ),
        lines(
            "Differences below zero",
            "Ticks per second that seemed to arrive before they were sent: the clocks disagree. They are in no "
            "quantile.",
            "short",
            Expr(per_s("bot", "tickcast_bot_latency_negative_total", bot="~$bot"), "{{bot}}"),
        ),
    )
    board.row(
        "The process of $bot",
        lines(
            "Held up",
            "Share of time: gc, collecting garbage; gil, awake but waiting for the interpreter lock, which another "
            "thread of the bot has.",
            "percentunit",
            Expr(per_s("bot, cause", "tickcast_bot_pause_seconds_total", bot="~$bot"), "{{bot}} {{cause}}"),
            width=6,
        ),
        lines(
            "Context switches per second",
            "Involuntary ones: it had work and lost its processor to somebody. Each costs microseconds and warm "
            "caches.",
            "short",
            Expr(per_s("bot, kind", "tickcast_bot_context_switches_total", bot="~$bot"), "{{bot}} {{kind}}"),
            width=6,
        ),
        lines(
            "Page faults per second",
            "Major ones wait for the disk: milliseconds. Minor ones: under a microsecond each.",
            "short",
            Expr(per_s("bot, kind", "tickcast_bot_page_faults_total", bot="~$bot"), "{{bot}} {{kind}}"),
            width=6,
        ),
    )
    return board
