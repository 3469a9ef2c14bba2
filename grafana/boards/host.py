"""What the agents' processes get from the host, and how full memory and disk are."""

from __future__ import annotations

from grafana.panels import Dashboard, Expr, lines, number, states
from grafana.queries import bucket_quantile, of, per_s

__all__ = ["host"]


def host() -> Dashboard:
    board = Dashboard(
        "host",
        "What the agents' processes get from this host, and how full memory and disk are. When a stage is slow and no "
        "bot is to blame, it shows here.",
        others=("feed", "bots", "venues"),
    )
    board.row(
        "Agents",
        states(
            "Up",
            "Each agent; red is down.",
            Expr(of("tickcast_agent_up"), "{{agent}}"),
            names={"0": ("down", "red"), "1": ("up", "green")},
        ),
        lines(
            "Restarts",
            "Since the feed began.",
            "short",
            Expr(f"{of('tickcast_agent_restarts_total')} or on (agent) 0 * {of('tickcast_agent_up')}", "{{agent}}"),
            width=8,
        ),
        lines(
            "Silent for",
            "Since an agent's loop last said that it turns: five times a second when well. 5 s is stuck.",
            "s",
            Expr(f"time() - {of('tickcast_agent_heartbeat_timestamp_seconds')}", "{{agent}}"),
            width=8,
        ),
        lines(
            "Processor",
            "Cores. An agent that spins takes a whole one, always.",
            "short",
            Expr(per_s("agent", "tickcast_agent_cpu_seconds_total"), "{{agent}}"),
            width=8,
        ),
        lines(
            "Memory",
            "Resident, what it maps of the log included.",
            "bytes",
            Expr(of("tickcast_agent_resident_bytes"), "{{agent}}"),
            width=8,
        ),
        lines(
            "Involuntary context switches per second",
            "It had work and lost its processor: a neighbour wants the same core. `feed doctor` says how to keep it "
            "away.",
            "short",
            Expr(per_s("agent", "tickcast_agent_context_switches_total", kind="involuntary"), "{{agent}}"),
            width=8,
        ),
        lines(
            "Voluntary context switches per second",
            "It had nothing to do and slept; each wake-up costs a few µs.",
            "short",
            Expr(per_s("agent", "tickcast_agent_context_switches_total", kind="voluntary"), "{{agent}}"),
            width=8,
        ),
    )
    board.row(
        "Hiccups",
        lines(
            "Stalls: share of time",
            "Turns of an agent's loop of 1 ms or longer, while ticks waited.",
            "percentunit",
            Expr(per_s("agent", "tickcast_agent_stall_seconds_sum"), "{{agent}}"),
            width=6,
        ),
        lines(
            "Longest stalls",
            "99 of 100 stalls were shorter, over a minute.",
            "s",
            Expr(bucket_quantile(0.99, "agent", "tickcast_agent_stall_seconds"), "{{agent}}"),
            width=6,
            log=True,
        ),
        lines(
            "Garbage collection: share of time",
            "Agents freeze what they hold when they start, so this should be next to nothing.",
            "percentunit",
            Expr(per_s("agent", "tickcast_agent_gc_pause_seconds_sum"), "{{agent}}"),
            width=6,
        ),
        lines(
            "Page faults per second",
            "Major ones wait for the disk: milliseconds.",
            "short",
            Expr(per_s("agent, kind", "tickcast_agent_page_faults_total"), "{{agent}} {{kind}}"),
            width=6,
        ),
    )
    board.row(
        "Log",
        lines(
            "How long the log holds a tick",
            "At the present rate. A reader that lags by more is overtaken.",
            "s",
            Expr(of("tickcast_log_horizon_seconds"), "horizon"),
            width=8,
        ),
        lines(
            "Readers' lag, share of the log",
            "At 100 % the writer overtakes.",
            "percentunit",
            Expr(
                f"{of('tickcast_reader_lag_bytes')} / on (instance) group_left () {of('tickcast_log_bytes')}",
                "{{reader}}",
            ),
            width=8,
        ),
        lines(
            "Room in shared memory",
            "Beside the log. A page that is not there kills the process that touches it.",
            "bytes",
            Expr(of("tickcast_log_free_bytes"), "free"),
            Expr(of("tickcast_log_bytes"), "log"),
            width=8,
        ),
    )
    board.row(
        "Archive",
        lines(
            "Size and room",
            "By its slope you see when the disk is full, or that retention works.",
            "bytes",
            Expr(of("tickcast_archive_bytes"), "archive"),
            Expr(of("tickcast_archive_free_bytes"), "free"),
            width=8,
        ),
        lines(
            "Ticks not yet on disk",
            "What a power cut now would cost. archive.durability sets its usual size.",
            "short",
            Expr(f"clamp_min({of('tickcast_log_ticks_total')} - {of('tickcast_archive_durable_seq')}, 0)", "ticks"),
            width=8,
        ),
        lines(
            "Stopped, errors, missing",
            "Stopped: 1 while it cannot write. Errors and ticks that it will never have: in the 2 minutes before, by "
            "cause.",
            "short",
            Expr(of("tickcast_archive_stopped"), "stopped"),
            Expr(
                f"sum by (cause) ({of('cause:tickcast_archive_errors:increase2m')}) "
                f"or on () 0 * sum({of('tickcast_archive_bytes')})",
                "errors {{cause}}",
            ),
            Expr(
                f"sum by (cause) ({of('cause:tickcast_archive_missing:increase2m')}) "
                f"or on () 0 * sum({of('tickcast_archive_bytes')})",
                "missing {{cause}}",
            ),
            width=8,
        ),
    )
    board.row(
        "Clocks",
        lines(
            "This host: largest error",
            "The kernel's bound. It grows steadily while nothing steers the clock.",
            "s",
            Expr(of("tickcast_host_clock_error_seconds"), "error"),
            width=8,
        ),
        states(
            "This host: steered",
            "By NTP or PTP.",
            Expr(of("tickcast_host_clock_synchronised"), "steered"),
            names={"0": ("no", "red"), "1": ("yes", "green")},
            width=8,
        ),
        lines(
            "Bots' clocks",
            "Offset from this host's and how far it may be from the true one: one-way figures of remote bots are no "
            "better.",
            "s",
            Expr(of("tickcast_clock_offset_seconds"), "{{bot}} offset"),
            Expr(of("tickcast_clock_uncertainty_seconds"), "{{bot}} bound"),
            width=8,
        ),
    )
    board.row(
        "The monitor itself",
        number(
            "Series refused",
            "For want of room; their figures are nowhere.",
            "short",
            Expr(of("tickcast_metrics_refused_total")),
            red_above=1,
        ),
        number("Version", "Of the feed.", "short", Expr(of("tickcast_build_info"), "{{version}}")),
    )
    return board
