"""For every protocol and every mistake in it: one execution that goes wrong, as an interleaving."""

from __future__ import annotations

from .close import Close
from .commit import Commit
from .gate import Gate
from .join import Join
from .overrun import Overrun, Rejoin
from .park import Futex, Park
from .resume import SLIPS, Broken, kill_everywhere

for protocol in (Commit(), Overrun(), Rejoin(), Join(), Gate(), Futex(), Park(kernel=False), Close()):
    for mistake, mistaken, what in protocol.mistakes():
        print(f"{type(protocol).__name__}, {mistake}: {what}\n{mistaken.flaw()}\n")
for slip, what in SLIPS.items():
    try:
        kill_everywhere(slip)
    except Broken as broken:
        print(f"Resume, {slip}: {what}\n{broken}\n")
