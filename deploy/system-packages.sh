#!/usr/bin/env bash
# What tickcast needs from Debian: Python 3.11 or later with venv and headers, a C compiler. Installs what is missing as
# root; otherwise says what to type.
set -euo pipefail

python=${PYTHON:-python3}
missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
if ! command -v "$python" >/dev/null; then
    missing+=(python3 python3-venv python3-dev)
else
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "tickcast needs Python 3.11 or later; $python is $("$python" -V). Set PYTHON=python3.12, say." >&2
        exit 1
    }
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    "$python" -c 'import os, sysconfig, sys
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || missing+=(python3-dev)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "missing: ${missing[*]}. As root: apt-get install ${missing[*]}" >&2
    exit 1
fi
