"""``feed bench ingest``: how fast a venue's captured messages become books and records in the log, one core, beside
another program's handler on the same messages in the same run.

plan        what is asked for, checked          messages    captures as messages, for all who take part
decoding    ours, in a process of its own       run         alternates, sums up; show: for people
"""
