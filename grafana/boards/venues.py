"""What comes in, by source."""

from __future__ import annotations

from grafana.panels import Dashboard, Expr, lines, table
from grafana.queries import of, per_s

__all__ = ["venues"]


def venues() -> Dashboard:
    total = of("tickcast_ticks_total")
    none = f"or on (source) 0 * sum by (source) ({total})"
    stamp = of("tickcast_source_tick_timestamp_seconds")
    board = Dashboard(
        "venues",
        "What comes in, by source: how much, how late, what was refused, and which one is silent.",
        others=("feed", "bots", "host"),
    )
    board.row(
        "Sources",
        table(
            "Sources",
            "Silent for: a quiet market or a dead line; compare with another source. Rejected: see the reasons below.",
            "source",
            {
                "Ticks/s": ("short", per_s("source", "tickcast_ticks_total")),
                "Ticks": ("short", f"sum by (source) ({total})"),
                "Rejected": ("short", f"sum by (source) ({of('tickcast_rejected_total')}) {none}"),
                "Connections": ("short", f"sum by (source) ({of('tickcast_source_connections')}) {none}"),
                "Resynchronised": ("short", f"sum by (source) ({of('tickcast_source_resyncs_total')}) {none}"),
                "Silent for": ("s", f"time() - max by (source) ({stamp})"),
            },
            height=7,
        ),
    )
    board.row(
        "Rate, refusals, silence",
        lines(
            "Ticks per second by source",
            "A step down without a step in the market is a lost subscription.",
            "short",
            Expr(per_s("source", "tickcast_ticks_total"), "{{source}}"),
        ),
        lines(
            "Ticks per second by schema",
            "All sources, stacked.",
            "short",
            Expr(per_s("schema", "tickcast_ticks_total"), "{{schema}}"),
            stacked=True,
        ),
        lines(
            "Rejected per second by reason",
            "What a source would not put in: malformed, out of order, of no known instrument.",
            "short",
            Expr(f"{per_s('source, reason', 'tickcast_rejected_total')} {none}", "{{source}} {{reason}}"),
        ),
        lines(
            "Silent for",
            "Seconds since the last tick. The alert's line is at 5 s.",
            "s",
            Expr(f"time() - {stamp}", "{{source}}"),
        ),
    )
    board.row(
        "Venues' connections",
        lines(
            "Connections that are up",
            "Of sources that keep some; 0 where a source needs none.",
            "short",
            Expr(f"sum by (source) ({of('tickcast_source_connections')}) {none}", "{{source}}"),
        ),
        lines(
            "Resynchronised per second by cause",
            "gap, checksum: updates were missing, that symbol's book was got anew. disconnect, stale, no_answer, "
            "refused, connect: a whole connection.",
            "short",
            Expr(f"{per_s('source, cause', 'tickcast_source_resyncs_total')} {none}", "{{source}} {{cause}}"),
        ),
    )
    board.row(
        "Doubtful ticks, raw captures",
        lines(
            "Flagged per second by rule",
            "Ticks that break a rule of [source.NAME.validate] whose action is flag; those of drop are refusals.",
            "short",
            Expr(f"{per_s('source, reason', 'tickcast_flagged_total')} {none}", "{{source}} {{reason}}"),
        ),
        lines(
            "Captured per second",
            "Compressed bytes of what came in that are kept on disk.",
            "Bps",
            Expr(f"{per_s('source', 'tickcast_capture_bytes_total')} {none}", "{{source}}"),
        ),
        lines(
            "Messages missing in captures, per second",
            "The disk failed or did not keep up. The feed itself lost nothing.",
            "short",
            Expr(f"{per_s('source', 'tickcast_capture_lost_total')} {none}", "{{source}}"),
        ),
        lines(
            "How far sources of files are",
            "Of recordings, ITCH files and captures: the share that has been read.",
            "percentunit",
            Expr(
                f"sum by (source) ({of('tickcast_source_read_bytes')} / {of('tickcast_source_file_bytes')}) {none}",
                "{{source}}",
            ),
        ),
    )
    board.row(
        "On the way to us",
        lines(
            "Venue latency",
            "From the venue's own time to ts_in, live sources only. As good as both clocks are: dashboard host.",
            "s",
            Expr(of("tickcast_latency_quantile_seconds", stage="venue", window="1m"), "{{transport}} {{quantile}}"),
            log=True,
        ),
        lines(
            "Through ingest",
            "From ts_in to committed, over a minute: grows when sources together bring more than the sequencer can "
            "take.",
            "s",
            Expr(of("tickcast_latency_quantile_seconds", stage="ingest", window="1m"), "{{transport}} {{quantile}}"),
        ),
    )
    return board
