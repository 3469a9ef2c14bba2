"""Counting: one table of metrics, a file of counters and histograms in shared memory, written in nanoseconds."""
