"""Watching: what the shared memory says, for Prometheus, for health checks and for `feed stat`."""
