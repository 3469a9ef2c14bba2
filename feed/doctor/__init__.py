"""`feed doctor`: is this host fit for the feed? One module per subject, each a list of small checks.

    host.py       what a check may look at: files under a root, the kernel's answers, the configuration
    finding.py    what a check says
    cpu.py clock.py memory.py network.py zmq.py limits.py      the checks, `CHECKS` in each
    examine.py    runs them all;  show.py  draws what they found

To add a check: write a function `(Host) -> Verdict` in its subject's module and name it in that module's `CHECKS`.
"""

from feed.doctor.examine import examine, fit
from feed.doctor.finding import Finding, Status
from feed.doctor.host import Host
from feed.doctor.show import show

__all__ = ["Finding", "Host", "Status", "examine", "fit", "show"]
