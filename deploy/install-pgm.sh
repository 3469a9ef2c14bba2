#!/usr/bin/env bash
# epgm:// and pgm://: the wheel of pyzmq on PyPI has no PGM, Debian's libzmq has. As root on Debian this installs that
# library and builds pyzmq on it, into .venv-pgm beside .venv: the same Python, the same tickcast, another pyzmq. What
# needs multicast by ZeroMQ then runs as .venv-pgm/bin/feed and .venv-pgm/bin/bots; nothing else changes. A second run
# finds everything there. `make pgm` calls it; `make test` does as root.
set -euo pipefail
cd "$(dirname "$0")/.."

base=.venv pgm=.venv-pgm
if [ ! -x $base/bin/python ]; then
    echo "no $base here: make setup first" >&2
    exit 1
fi
want=$($base/bin/python -c 'import importlib.metadata as m; print(m.version("pyzmq"))')
has() { # is the pyzmq that is wanted there, of its own, and with PGM?
    $pgm/bin/python -c '
import sys, zmq
sys.exit(not (zmq.__file__.startswith(sys.prefix) and zmq.has("pgm") and zmq.__version__ == sys.argv[1]))' "$want" \
        2>/dev/null
}
has && exit 0

packages=(libzmq3-dev pkgconf g++)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "epgm needs a libzmq that was built with PGM (OpenPGM) and its headers; only on Debian this script knows how" >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "missing: ${missing[*]}. As root: apt-get install --no-install-recommends ${missing[*]}; then again: $0" >&2
        exit 1
    fi
    echo "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
fi

echo "building pyzmq $want on Debian's libzmq, into $pgm"
rm -rf $pgm
$base/bin/python -m venv $pgm
# ZMQ_PREFIX would make the build look in one place only, and miss Debian's.
env -u ZMQ_PREFIX PYZMQ_NO_BUNDLE=1 $pgm/bin/pip install --quiet --no-cache-dir --no-binary pyzmq "pyzmq==$want"

# Everything else comes from .venv, behind what is here: the line runs at each start, and reads .venv's own .pth files.
site=$($pgm/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cat >"$site/tickcast-pgm.pth" <<'END'
import os, site, sys, sysconfig; site.addsitedir(os.path.join(os.path.dirname(sys.prefix), ".venv", os.path.relpath(sysconfig.get_path("purelib"), sys.prefix)))
END
for command in feed bots; do
    printf '#!%s\nimport sys\n\nfrom %s.cli import main\n\nsys.exit(main())\n' "$PWD/$pgm/bin/python" $command >$pgm/bin/$command
    chmod +x $pgm/bin/$command
done
has || {
    echo "the pyzmq that was built has no PGM: is another libzmq in the way? $($pgm/bin/python -c 'import zmq; print(zmq.zmq_version())')" >&2
    exit 1
}
