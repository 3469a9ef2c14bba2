"""A copy of the feed with a fault planted: what a harness does not find, it does not look for.

feed/log/fences.h has the faults, each behind a macro. The copy is made outside the tree; whoever puts it first on
the path gets the faulty modules for feed.log and the others as they are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import feed

NO_VALIDATION = "TC_SEED_NO_VALIDATION"
"""A copy is taken for a frame whatever `low` says."""
NO_STORELOAD = "TC_SEED_NO_STORELOAD"
"""The writer looks for sleepers before its commit can be seen."""
MODULES = {NO_VALIDATION: "reader", NO_STORELOAD: "writer"}
"""Where each of them bites."""


def build(fault: str, root: Path) -> Path:
    """Make the copy below `root`, which is then to be put on PYTHONPATH, and compile the module anew.

    :raises subprocess.CalledProcessError: it does not compile.
    """
    original = Path(feed.__file__).parent
    for path in original.rglob("*"):
        if path.is_file() and path.suffix in {".py", ".pxd", ".pyx", ".h", ".so"}:
            copy = root / "feed" / path.relative_to(original)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(path)
    log = root / "feed" / "log"
    for built in log.glob(f"{MODULES[fault]}.*.so"):
        built.unlink()
    command = [sys.executable, "-m", "Cython.Build.Cythonize", "-3", "-i", f"feed/log/{MODULES[fault]}.pyx"]
    flags = f"-I{root} -O1 -g0 -D{fault}"
    subprocess.run(command, cwd=root, env={**os.environ, "CFLAGS": flags}, check=True, capture_output=True)
    return root
