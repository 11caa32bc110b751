# Measures the build steps of one lease, on its runner: one line at the start, one for each line read from standard
# input, and a last one when that is closed. The caller sets the pace, so nothing is forked after the start: a fork may
# fail exactly when memory runs out.
#
# usage: sh -c '<this>' lian-sampler v1|v2|machine CGROUP_ROOT PARENT MACHINE_PRESSURE BASE
#   CGROUP_ROOT  where the hierarchies are mounted: /sys/fs/cgroup
#   PARENT       the group above all build steps, with a leading slash; not used with `machine`
#   MACHINE_PRESSURE  /proc/pressure/memory where nothing else runs on the machine, else empty; the group's own is
#                preferred
#   BASE         with `machine`: the bytes in use at the start of an earlier sampler, or empty
# first line:  lian-sampler 1 <memory source> <cpu source> <cpus> <base>     (a source is `cgroup` or `machine`)
# then:        <1/100 s since boot> <ns of CPU used so far> <bytes that cannot be reclaimed> [<pressure>]
#              where pressure is the 1/100 % of the last minute in which all tasks stood still for memory
version=$1 root=$2 parent=$3 stalls=${4:-} base=${5:-}

# The v1 cpuacct group of the same name appears with the first step; its hierarchy is there from the start.
cpuacct=
for mounted in cpuacct cpu,cpuacct cpuacct,cpu; do
    if [ -r "$root/$mounted/cpuacct.usage" ]; then cpuacct=$root/$mounted$parent/cpuacct.usage; fi
done

# Each of these sets `memory` in bytes and fails when it cannot be read.

# v1 tells kernel memory only together with caches that can be reclaimed (kmem.usage_in_bytes), so it is left out.
memory_v1() {
    [ -r "$root/memory$parent/memory.stat" ] || return 1
    memory=0
    while read -r key value; do
        case $key in total_rss | total_shmem | total_swap) memory=$((memory + value)) ;; esac
    done <"$root/memory$parent/memory.stat"
}

memory_v2() {
    [ -r "$root$parent/memory.stat" ] || return 1
    memory=0 kernel='' parts=0 reclaimable=0
    while read -r key value; do
        case $key in
        anon | shmem | sock) memory=$((memory + value)) ;;
        kernel) kernel=$value ;; # since Linux 5.18; before it, its parts
        kernel_stack | pagetables | percpu | slab_unreclaimable) parts=$((parts + value)) ;;
        slab_reclaimable) reclaimable=$value ;;
        esac
    done <"$root$parent/memory.stat"
    if [ -n "$kernel" ]; then parts=$((kernel - reclaimable)); fi
    memory=$((memory + parts))
    if [ -r "$root$parent/memory.swap.current" ]; then
        read -r value <"$root$parent/memory.swap.current" && memory=$((memory + value))
    fi
}

# The whole machine, less what was in use at the start: other processes are in it too.
memory_machine() {
    total='' available=''
    while read -r key value _; do
        case $key in
        MemTotal:) total=$value ;;
        MemAvailable:) available=$value && break ;;
        esac
    done </proc/meminfo
    [ -n "$total" ] && [ -n "$available" ] || return 1
    memory=$(((total - available) * 1024 - ${base:-0}))
    if [ "$memory" -lt 0 ]; then memory=0; fi
}

# Each of these sets `cpu` in nanoseconds.

cpu_v1() {
    cpu=0
    if [ -r "$cpuacct" ]; then read -r cpu <"$cpuacct"; fi
}

cpu_v2() {
    cpu=0
    while read -r key value; do
        if [ "$key" = usage_usec ]; then cpu=${value}000 && break; fi
    done <"$root$parent/cpu.stat"
}

# Ticks of 1/100 s (USER_HZ) that were spent working; stolen and waiting time is not.
cpu_machine() {
    read -r _ user nice system _ _ irq softirq _ </proc/stat
    cpu=$((user + nice + system + irq + softirq))0000000
}

# Sets `full`, empty when the kernel does not say.
pressure() {
    full=
    [ -n "$stalls" ] || return 0
    while read -r kind _ minute _; do
        if [ "$kind" = full ]; then
            minute=${minute#avg60=}
            full=${minute%.*}${minute#*.}
        fi
    done <"$stalls"
}

sample() {
    "memory_$version" && "cpu_$cpu_from" && read -r uptime _ </proc/uptime || return 0
    pressure 2>/dev/null
    echo "${uptime%.*}${uptime#*.} $cpu $memory${full:+ $full}"
}

case $version in
v1) cpu_from=v1 && if [ -z "$cpuacct" ]; then cpu_from=machine; fi ;;
v2) cpu_from=v2 ;;
machine) cpu_from=machine && if [ -z "$base" ]; then memory_machine && base=$memory; fi ;;
*) echo "lian-sampler: unknown source $version" >&2 && exit 2 ;;
esac
memory_source=cgroup cpu_source=cgroup
if [ "$version" = machine ]; then memory_source=machine; fi
if [ "$cpu_from" = machine ]; then cpu_source=machine; fi
if [ "$version" = v2 ] && [ -r "$root$parent/memory.pressure" ]; then stalls=$root$parent/memory.pressure; fi
echo "lian-sampler 1 $memory_source $cpu_source $(nproc 2>/dev/null || echo 0) ${base:-0}"

sample
while read -r _; do sample; done
sample
exit 0
