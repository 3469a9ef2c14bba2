"""The race harness: real processes fight over one small log, and every record proves itself.

records.py     records that show where they were torn
writer.py      the fast writer              } each a process of its own
reader.py      a reader of some temper      }
handshake.py   one writer and one sleeper that meet as closely as they can, over and over
seeded.py      a copy of the feed with a fault planted in feed/log/fences.h
race.py        starts them, kills some, and judges

python -m tests.log.race --seconds 600            soak
python -m tests.log.race --seconds 20 --seed TC_SEED_NO_VALIDATION      what a fault looks like
"""
