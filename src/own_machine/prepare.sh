# Prepares a machine of its own before buildkitd starts there. One round trip, safe to repeat. Standard input is a tar: the
# recipe in `recipe/`, and below `etc/` what the user data would have brought, for a machine that had none.
# $1 lease  $2 bytes for all build steps  $3 seconds that the first boot may take  $4 secrets directory  $5 BuildKit's root
# $6 directory of buildctl and buildkitd
# Prints `memory v1|v2 BYTES` or `memory none REASON`, `program NAME SHA256` for each that is there, and `note TEXT`.
# Exit 3: it cannot be a runner, with the reason on stderr.
set -eu
umask 022
lease=$1 bytes=$2 limit=$3 secrets=$4 buildkit=$5 bin=$6
state=/run/lian-boot
fail() {
    echo "$*" >&2
    exit 3
}
files=$(mktemp -d /run/lian-prepare.XXXXXX)
trap 'rm -rf -- "$files"' EXIT
tar -x -f - -C "$files" --no-same-owner
pause() { sleep 0.2 2>/dev/null || sleep 1; }
last_words() { tail -n 15 "$state/log" 2>/dev/null || true; }

end=$(($(date +%s) + limit))
if [ -e /usr/lib/lian-build/boot ] && [ "$(cat /etc/lian-build/lease 2>/dev/null)" = "$lease" ]; then
    # The user data brought it, and its first boot calls it.
    while [ ! -e "$state/ready" ] && [ ! -e "$state/failed" ]; do
        [ "$(date +%s)" -lt "$end" ] || fail "its first boot did not end within $limit s: $(last_words)"
        pause
    done
elif [ ! -e "$state/ready" ] || [ "$(cat "$state/ready")" != "$lease" ]; then
    # cloud-init may be at work for somebody else's sake: a template's own configuration.
    if command -v cloud-init >/dev/null 2>&1; then timeout "$limit" cloud-init status --wait >/dev/null 2>&1 || true; fi
    mkdir -p /usr/share/lian-build/runner /etc/lian-build /var/lib/lian-build
    cp -R -- "$files/recipe/." /usr/share/lian-build/runner/
    for name in lease hard-deadline build-memory; do cp -- "$files/etc/$name" "/etc/lian-build/$name"; done
    if [ -e "$files/etc/expires" ]; then cp -- "$files/etc/expires" /var/lib/lian-build/expires; fi
    sh "$files/boot" over-ssh || true
fi
[ ! -e "$state/failed" ] || fail "$(cat "$state/failed"): $(last_words)"
[ "$(cat "$state/ready" 2>/dev/null)" = "$lease" ] || fail "it was not made ready for this lease: $(last_words)"

# What is secret stays in memory.
swapoff -a 2>/dev/null || true
[ "$(wc -l </proc/swaps)" -le 1 ] || echo 'note its swap cannot be switched off: what is in memory may reach its disk'
# private DIRECTORY MODE: a tmpfs.
private() {
    mkdir -p -- "$1"
    if ! mountpoint -q -- "$1"; then mount -t tmpfs -o "rw,noexec,nosuid,nodev,size=64m,mode=$2" tmpfs "$1"; fi
}
private "$secrets" 0700
# BuildKit writes each running step's configuration there, with secrets that the step gets as variables.
for snapshotter in overlayfs native; do private "$buildkit/runc-$snapshotter/executor" 0711; done

# The address at which clouds tell a machine about itself, its user data among it, is for nobody here: not for build steps, and
# not for what buildkitd fetches itself. A rule of the routing policy comes before every route, so nothing that the network's
# own configuration sets later opens it again.
block() {
    if ! ip "$1" rule show | grep -q "to $2 prohibit"; then ip "$1" rule add priority 31 to "$2" prohibit; fi
    # The rule set itself is asked, and then the kernel what it makes of it.
    ip "$1" rule show | grep -q "^31:.*to $2 prohibit" || fail "the address $2 could not be blocked"
    if ip "$1" route get "$2" >/dev/null 2>&1; then fail "the address $2 can be reached, although it is blocked"; fi
}
block -4 169.254.169.254
[ ! -e /proc/net/if_inet6 ] || block -6 fd00:ec2::254

# Build steps share a group with a limit, so that a step that needs too much is killed and neither sshd nor buildkitd.
cgroups=/sys/fs/cgroup
total=$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
# A machine has less than its tier's memory: the kernel took some. This much is for everything that is no build step.
most=$((total * 1024 - 268435456))
if [ "$most" -gt 0 ] && [ "$bytes" -gt "$most" ]; then bytes=$most; fi
has() { grep -qw "$2" "$1" 2>/dev/null; }
switch_on() {
    for controller in memory cpu pids io cpuset; do
        if has "$1/cgroup.controllers" "$controller" && ! has "$1/cgroup.subtree_control" "$controller"; then
            echo "+$controller" >"$1/cgroup.subtree_control" 2>/dev/null || true
        fi
    done
}
if [ -e "$cgroups/cgroup.controllers" ]; then
    switch_on "$cgroups"
    mkdir -p "$cgroups/$lease/runner" "$cgroups/$lease/build"
    switch_on "$cgroups/$lease"
    switch_on "$cgroups/$lease/build"
    if [ -e "$cgroups/$lease/build/memory.max" ]; then
        echo "$bytes" >"$cgroups/$lease/build/memory.max"
        if [ -e "$cgroups/$lease/build/memory.swap.max" ]; then echo 0 >"$cgroups/$lease/build/memory.swap.max"; fi
        echo "memory v2 $bytes"
    else
        echo "memory none its kernel has no memory controller"
    fi
elif [ -d "$cgroups/memory" ] && mkdir -p "$cgroups/memory/$lease/build" "$cgroups/memory/$lease/runner" 2>/dev/null; then
    group=$cgroups/memory/$lease/build
    echo 1 >"$group/memory.use_hierarchy" 2>/dev/null || true
    echo "$bytes" >"$group/memory.limit_in_bytes"
    if [ -e "$group/memory.memsw.limit_in_bytes" ]; then echo "$bytes" >"$group/memory.memsw.limit_in_bytes"; fi
    echo "memory v1 $bytes"
else
    echo "memory none its control groups cannot be written"
fi

mkdir -p -- "$bin"
for program in buildctl buildkitd; do
    [ ! -x "$bin/$program" ] || echo "program $program $(sha256sum <"$bin/$program" | cut -d ' ' -f 1)"
done
