# Reads what the kernel of this runner says about memory: versioned key=value lines on stdout, `end=1` last.
# Arguments: version of the cgroup hierarchy (v1, v2 or -), the build's cgroup below its root (or -), BuildKit's root
# directory, buildkitd's pid file, the number of the last kernel message already seen (or -).
# POSIX sh and awk; writes nothing; exits 0 whatever is missing, for a missing value is an answer too.
LC_ALL=C
export LC_ALL
version=$1 parent=$2 root=$3 pid_file=$4 since=$5

# value KEY FILE: the file's first line.
value() {
    if [ -r "$2" ] && read -r first <"$2" 2>/dev/null; then
        printf '%s=%s\n' "$1" "$first"
    fi
}
# field KEY FILE WORD: the number behind WORD at the start of a line.
field() {
    if [ -r "$2" ]; then
        awk -v key="$1" -v word="$3" '$1 == word { print key "=" $2; exit }' "$2" 2>/dev/null
    fi
}

echo 'lian-oom=1'
value boot_id /proc/sys/kernel/random/boot_id
field vmstat.oom_kill /proc/vmstat oom_kill
field memory.total_kb /proc/meminfo MemTotal:
field memory.available_kb /proc/meminfo MemAvailable:

case $version in
v1)
    group=/sys/fs/cgroup/memory$parent
    value v1.limit "$group/memory.limit_in_bytes"
    value v1.peak "$group/memory.max_usage_in_bytes"
    value v1.failcnt "$group/memory.failcnt"
    field v1.oom_kill "$group/memory.oom_control" oom_kill
    # BuildKit keeps its steps one level down.
    value v1.child.failcnt "$group/buildkit/memory.failcnt"
    field v1.child.oom_kill "$group/buildkit/memory.oom_control" oom_kill
    ;;
v2)
    for base in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        group=$base$parent
        [ -r "$group/memory.events" ] || continue
        value v2.limit "$group/memory.max"
        value v2.peak "$group/memory.peak"
        field v2.oom_kill "$group/memory.events" oom_kill
        field v2.oom "$group/memory.events" oom
        field v2.local.oom_kill "$group/memory.events.local" oom_kill
        # The group above, where it is the lease's own: it counts buildkitd, too.
        lease=${parent%/*}
        case ${lease##*/} in
        lb-*) field v2.lease.oom_kill "$base$lease/memory.events" oom_kill ;;
        esac
        # With this mount option memory.events counts the group alone, and a step's own group is gone by now.
        awk '$3 == "cgroup2" && $4 ~ /(^|,)memory_localevents(,|$)/ { print "v2.hierarchical=no"; exit }' /proc/mounts
        break
    done
    ;;
esac

# One read of /dev/kmsg is one record `priority,number,time,flags;text`. Records of priority 8 and up are not the
# kernel's own: anyone who may write to /dev/kmsg can make them. dd always ends with an error, and which one matters:
# EAGAIN is the end of the log; at anything else (EPIPE: the log overtook us) part of it was not seen.
if [ -r /dev/kmsg ]; then
    dd if=/dev/kmsg iflag=nonblock bs=8192 2>&1 | awk -F'[,;]' -v since="$since" '
        /^dd: / { said = $0 }
        !/^[0-9]+,[0-9]+,/ { next }
        first == "" { first = $2 }
        { last = $2 }
        since == "-" || $2 + 0 <= since + 0 || $1 + 0 >= 8 { next }
        /oom-kill:constraint=|Killed process/ {
            if (++lines > 1000) { said = "more than 1000 lines"; exit }
            print "kmsg.line=" $2 ";" substr($0, index($0, ";") + 1)
        }
        END {
            if (first != "") { print "kmsg.first=" first; print "kmsg.last=" last }
            print said ~ /temporarily unavailable/ ? "kmsg.complete=yes" : "kmsg.incomplete=" said
        }'
else
    echo 'kmsg.unreadable=no permission to read /dev/kmsg'
fi

pid=
if [ -r "$pid_file" ]; then
    read -r pid <"$pid_file"
fi
case $pid in
'' | *[!0-9]*) ;;
*)
    echo "buildkitd.pid=$pid"
    # The state follows the command's name, which stands in brackets and may hold anything.
    if stat=$(cat "/proc/$pid/stat" 2>/dev/null) && [ -n "$stat" ]; then
        set -f
        # shellcheck disable=SC2086
        set -- ${stat##*) }
        case $1 in
        Z | X) echo 'buildkitd.alive=no' ;;
        *)
            echo 'buildkitd.alive=yes'
            shift 19
            echo "buildkitd.started=$1"
            ;;
        esac
    else
        echo 'buildkitd.alive=no'
    fi
    ;;
esac

df -Pk "$root" 2>/dev/null | awk 'NR == 2 { print "disk.total_kb=" $2; print "disk.free_kb=" $4 }'
df -Pi "$root" 2>/dev/null | awk 'NR == 2 { print "disk.total_inodes=" $2; print "disk.free_inodes=" $4 }'
echo 'end=1'
