"""Stage 4: what sends the log on to those who are not on this host."""
