#!/usr/bin/env bash
# A host for low latency: shows what is set and what would be. Changes nothing without --apply, and then until the next
# boot; what it changed is printed as commands that undo it.
#
#   tune.sh                              show
#   tune.sh --apply                      set everything that this host has
#   tune.sh --away-from 2-5 [--apply]    interrupts to the other processors, too (stop irqbalance first)
set -euo pipefail
shopt -s nullglob
source "$(dirname "$0")/knobs.sh"

apply='' away=''
while [ $# -gt 0 ]; do
    case $1 in
    --apply) apply=yes ;;
    --away-from)
        away=${2:?--away-from needs processors, such as 2-5}
        shift
        ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift
done

undo=()
failed=0

# put FILE VALUE
put() {
    local before
    before=$(value_of "$1")
    if { echo "$2" >"$1"; } 2>/dev/null; then
        undo+=("echo $before > $1")
    else
        echo "    could not be set: $1" >&2
        failed=1
    fi
}

# The processors that are online and not in a list such as 2-5,7, as such a list.
others() {
    local cpu part kept=()
    local -A taken=()
    for part in ${1//,/ }; do
        for cpu in $(seq "${part%-*}" "${part#*-}"); do taken[$cpu]=1; done
    done
    for cpu in "$ROOT"/sys/devices/system/cpu/cpu[0-9]*; do
        cpu=${cpu##*/cpu}
        [ -n "${taken[$cpu]:-}" ] || kept+=("$cpu")
    done
    [ ${#kept[@]} -gt 0 ] || return 1
    (IFS=, && echo "${kept[*]}")
}

printf '%-26s %-12s %-12s %s\n' knob now ours 'what for'
for knob in "${KNOBS[@]}"; do
    IFS='|' read -r name files _ ours _ why <<<"$knob"
    mapfile -t found < <(files_of "$files")
    if [ ${#found[@]} -eq 0 ]; then
        printf '%-26s %-12s %-12s %s\n' "$name" '-' "$ours" "not on this host: $why"
        continue
    fi
    now=$(for file in "${found[@]}"; do value_of "$file"; done | sort -u | paste -sd/)
    printf '%-26s %-12s %-12s %s\n' "$name" "$now" "$ours" "$why"
    if [ -n "$apply" ]; then
        for file in "${found[@]}"; do
            good "$(value_of "$file")" "$ours" || put "$file" "${ours%+}"
        done
    fi
done

if [ -n "$away" ]; then
    to=$(others "$away") || {
        echo "no processor would be left for interrupts" >&2
        exit 2
    }
    echo
    echo "interrupts to processors $to:"
    for file in "$ROOT"/proc/irq/[0-9]*/smp_affinity_list; do
        printf '  %-40s now %s\n' "${file#"$ROOT"}" "$(cat "$file")"
        if [ -n "$apply" ] && [ "$(cat "$file")" != "$to" ]; then put "$file" "$to"; fi
    done
fi

echo
echo "Timer slack needs nothing: agents set their own to 1 ns. Processors of their own need a boot: isolcpus= (README.md)."
if [ -z "$apply" ]; then
    echo "Nothing was changed. --apply sets it until the next boot; 90-tickcast.conf in /etc/sysctl.d is the part that lasts."
elif [ ${#undo[@]} -eq 0 ]; then
    echo "Everything was so already."
else
    echo "To undo:"
    printf '  %s\n' "${undo[@]}"
fi
exit $failed
