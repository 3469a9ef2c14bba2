"""tickcast, the feed: venues' ticks in, one log in shared memory, frames out to any number of bots.

The way of the data, in the order in which to read it:

    1  sources/      where ticks come from: recordings, venues, push, yours   (sources.ingest turns them)
    2  normalize/    pure functions: a venue's message → a record, rules for it; instruments; the synthetic market
    3  log/          the tick log: layout, writer (the sequencer), reader, rings
    4  publish/      the log → ZeroMQ sockets, multicast
       archive/      the log → disk, and out again: upkeep, export;  store/  the archive's files
    5  control/      the one address a bot needs: directory, snapshots, replays, bots' figures
    6  metrics/      counters and histograms in shared memory;  monitor/  Prometheus, `feed stat`

    supervisor.py    MAIN PATH: builds the agents of 1 to 6 in this order;  running.py keeps them alive
    wire/            what a record, a topic and a frame are; no I/O
    push.py          for processes that push: the other end of sources/push.py
    cli.py demo.py plan.py progress.py symbols.py bench/ doctor/ · agent.py (the duty loop) · config/ tables.py
    classes.py ports.py multicast.py roll.py position.py trading_day.py logging.py service.py (systemd) clock.py
    errors.py

The bots' side is the package `bots`.
"""

__version__ = "0.1.0"
