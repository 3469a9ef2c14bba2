#!/usr/bin/env bash
# What tickcast needs from Debian: Python 3.11 or later with venv and headers, a C compiler; called with `test`, also the
# programs that only tests run. Installs what is missing as root; otherwise says what to type. Starts no service.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin
python=${PYTHON:-python3}
missing=()

needs() { # the program, the package that has it
    command -v "$1" >/dev/null || missing+=("$2")
}

if [ "${1:-}" = test ]; then
    needs promtool prometheus        # tests/deploy: rules, alerts and dashboards against a real Prometheus
    needs chromium chromium          # tests/monitor: the page in a real browser
    needs systemd-analyze systemd    # tests/deploy: the units, verified and judged
    needs logrotate logrotate        # tests/deploy: its configuration
    needs faketime faketime          # tests/e2e: a bot whose host has another time
    needs ip iproute2                # tests/links: a host for the feed and others for bots, as network namespaces
else
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
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]}. As root: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

echo "installing ${missing[*]}"
# Debian starts a daemon as soon as it is installed, unless this file forbids it.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
if [[ " ${missing[*]} " == *" prometheus "* ]] && command -v systemctl >/dev/null; then
    systemctl --quiet disable prometheus >/dev/null 2>&1 || true # nor at the next boot
fi
