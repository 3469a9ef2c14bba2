"""The race harness: real processes fight over one small log, and every record proves itself.

Its parts:

    records.py     records that show where they were torn
    writer.py      the fast writer                 } each is a process
    reader.py      a reader of some temper         } of its own
    handshake.py   a writer and its sleepers, who meet as closely as they can, over and over
    seeded.py      a copy of the feed with a fault planted in feed/log/fences.h
    race.py        starts them, kills some, and judges

    python -m tests.log.race --seconds 600                                  a soak
    python -m tests.log.race --seconds 20 --fault TC_SEED_NO_VALIDATION     what a fault looks like
"""
