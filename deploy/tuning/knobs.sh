# The knobs, for tune.sh and measure.sh: name | files | usual | ours | transport that feels it | what for.
# Ours with a + is the least: what is more stays.
# ROOT stands before every path: tests put a folder of their own there.

ROOT=${ROOT:-}
SLOW_WAKE_US=10

KNOBS=(
    "rmem_max|/proc/sys/net/core/rmem_max|212992|4194304+|tcp|a burst fits while its reader is away"
    "wmem_max|/proc/sys/net/core/wmem_max|212992|4194304+|tcp|a sender need not wait for the kernel"
    "netdev_max_backlog|/proc/sys/net/core/netdev_max_backlog|1000|10000+|tcp|packets are not lost before a processor has time"
    "busy_poll|/proc/sys/net/core/busy_poll|0|50|tcp|a packet is looked for, not waited for (a card, not loopback)"
    "busy_read|/proc/sys/net/core/busy_read|0|50|tcp|the same for blocking reads"
    "tcp_slow_start_after_idle|/proc/sys/net/ipv4/tcp_slow_start_after_idle|1|0|tcp|a burst after a pause leaves at once"
    "numa_balancing|/proc/sys/kernel/numa_balancing|1|0|shm|the kernel takes no pages away to see who uses them"
    "stat_interval|/proc/sys/vm/stat_interval|1|10|shm|less housekeeping on each processor"
    "compaction_proactiveness|/proc/sys/vm/compaction_proactiveness|20|0|shm|memory is not moved together meanwhile"
    "swappiness|/proc/sys/vm/swappiness|60|1|shm|the log stays in memory"
    "huge pages|/sys/kernel/mm/transparent_hugepage/enabled|always|madvise|shm|a page fault does not wait for a huge page"
    "huge pages, defrag|/sys/kernel/mm/transparent_hugepage/defrag|always|madvise|shm|the same"
    "governor|/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor|powersave|performance|shm|full speed when a tick comes"
    "idle states|/sys/devices/system/cpu/cpu[0-9]*/cpuidle/state[0-9]*/disable|0|1|shm|no state that takes ${SLOW_WAKE_US} µs or longer to leave"
)

# The files of a knob that are there, one a line. Of the idle states only those that are slow to leave.
files_of() {
    local file
    for file in $ROOT$1; do
        [ -e "$file" ] || continue
        if [ "${file##*/}" = disable ] && [ "$(cat "${file%/*}/latency")" -lt "$SLOW_WAKE_US" ]; then continue; fi
        echo "$file"
    done
}

# Is a value, the first, as ours, the second?
good() {
    case $2 in *+) [ "$1" -ge "${2%+}" ] ;; *) [ "$1" = "$2" ] ;; esac
}

# What is set: of "always [madvise] never" the word in brackets.
value_of() {
    local text
    text=$(cat "$1" 2>/dev/null) || return 1
    case $text in *\[*\]*) text=${text#*\[} && text=${text%%\]*} ;; esac
    echo "$text"
}
