#!/usr/bin/env bash
# What each knob of tune.sh is worth on this host: off and on in turn, ROUNDS times, around `feed bench latency`; medians
# as rows for README.md. Needs root, and a machine on which nothing else runs. Everything is set back as it was.
#
#   sudo deploy/tuning/measure.sh [NAME...]      all knobs: under 5 minutes
set -euo pipefail
shopt -s nullglob
here=$(dirname "$0")
source "$here/knobs.sh"

FEED=${FEED:-$here/../../.venv/bin/feed}
ROUNDS=${ROUNDS:-3}
TICKS=${TICKS:-10000}
LIMIT_S=${LIMIT_S:-280}

saved=()
restore() {
    local line
    for line in "${saved[@]}"; do echo "${line#*|}" >"${line%%|*}" || true; done
}
trap restore EXIT
trap 'exit 130' INT TERM

# p50 and p99 in µs of one run over a transport, behind a command that may be empty.
bench() {
    local transport=$1
    shift
    "$@" "$FEED" bench latency --transport "$transport" --idle park --rate 10000 --ticks "$TICKS" --json 2>/dev/null |
        python3 -c 'import json, sys; row = json.load(sys.stdin)[0]; print(row["p50_us"], row["p99_us"])'
}

# The middle one of the numbers on standard input.
median() { sort -g | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

wanted() {
    local each
    [ ${#only[@]} -eq 0 ] && return 0
    for each in "${only[@]}"; do [ "$each" = "$1" ] && return 0; done
    return 1
}

# row NAME TRANSPORT: the table's line of what `off` and `on` gave.
row() {
    printf '| %s (%s) | %.1f → %.1f | %.1f → %.1f |\n' "$1" "$2" \
        "$(cut -d' ' -f1 <<<"$off" | median)" "$(cut -d' ' -f1 <<<"$on" | median)" \
        "$(cut -d' ' -f2 <<<"$off" | median)" "$(cut -d' ' -f2 <<<"$on" | median)"
}

set_all() {
    local file value=$1
    shift
    for file in "$@"; do echo "$value" >"$file" 2>/dev/null || return 1; done
}

only=("$@")
echo "| knob | p50 µs, off → on | p99 µs, off → on |"
echo "|---|---|---|"
for knob in "${KNOBS[@]}"; do
    IFS='|' read -r name files usual ours transport _ <<<"$knob"
    wanted "$name" || continue
    mapfile -t found < <(files_of "$files")
    if [ ${#found[@]} -eq 0 ]; then
        echo "| $name ($transport) | not on this host | |"
        continue
    fi
    if [ "$SECONDS" -gt "$LIMIT_S" ]; then
        echo "| $name ($transport) | no time left | |"
        continue
    fi
    for file in "${found[@]}"; do saved+=("$file|$(value_of "$file")"); done
    off='' on='' refused=''
    for ((i = 0; i < ROUNDS; i++)); do
        set_all "$usual" "${found[@]}" || refused=yes
        off+=${off:+$'\n'}$(bench "$transport")
        set_all "${ours%+}" "${found[@]}" || refused=yes
        on+=${on:+$'\n'}$(bench "$transport")
        [ -z "$refused" ] || break
    done
    restore
    saved=()
    if [ -n "$refused" ]; then echo "| $name ($transport) | this host does not let it be set | |"; else row "$name" "$transport"; fi
done
if wanted nice; then
    off='' on=''
    for ((i = 0; i < ROUNDS; i++)); do
        off+=${off:+$'\n'}$(bench shm)
        on+=${on:+$'\n'}$(bench shm nice -n -10)
    done
    row "nice -10" shm
fi
