"""The journal: an agent that writes what the log holds to disk, and what reads it out again: exports."""
