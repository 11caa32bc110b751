# shellcheck shell=bash
# What builds leave behind on the machine. Nothing is the only right answer.
#
# Everything of a lease carries the lease's name (`lb-` and 32 hexadecimal digits): its directories, sockets, control
# groups, mounts, and the arguments of its processes. Tests also run with all their directories below one scratch directory,
# so that what a test itself forgets is found by that path. What was there before is not ours.

# traces [SCRATCH]: one line for each thing on this machine that belongs to a lease or to the scratch directory.
traces() {
  local scratch=${1:-/nonexistent} proc pid command place
  for proc in /proc/[0-9]*; do
    pid=${proc#/proc/}
    [[ $pid != "$$" && $pid != "$BASHPID" ]] || continue
    command=$(tr '\0' ' ' 2>/dev/null <"$proc/cmdline") || continue
    place=$(readlink "$proc/cwd" "$proc/root" 2>/dev/null) || true
    if [[ "$command $place" == *"$scratch"* || "$command $place" =~ lb-[0-9a-f]{32} ]]; then
      printf 'process %s: %s\n' "$pid" "${command:0:200}"
    fi
  done
  grep -E -- "lb-[0-9a-f]{32}|$scratch" /proc/self/mounts | sed 's/^[^ ]* \([^ ]*\) .*/mount \1/' || true
  find /sys/fs/cgroup -mindepth 1 -type d \( -name 'lb-*' -o -name 'lian-build' \) -printf 'control group %p\n' -prune 2>/dev/null || true
  find /run/lian-build "${XDG_RUNTIME_DIR:-/nonexistent}/lian-build" "/tmp/lian-build-$EUID" -mindepth 1 -name 'lb-*' \
    -printf 'lease directory %p\n' -prune 2>/dev/null || true
  # Of the tests' machines that are beyond the loopback network (tests/it/support/lent_address.rs).
  ip -oneline -4 address show dev lo 2>/dev/null | sed -n 's/.* inet \(198\.19\.[0-9./]*\) .*/address \1/p' || true
  find "$scratch" \( -type s -printf 'socket %p\n' \) -o \( -type d -name 'lb-*' -printf 'lease directory %p\n' -prune \) 2>/dev/null || true
}

# leftovers_check BEFORE SCRATCH: fails, naming them, when there are traces that were not in BEFORE (what `traces` printed).
# A daemon that was told to stop may need a moment to be gone: it gets ten seconds.
leftovers_check() {
  local deadline=$((SECONDS + 10)) left
  while left=$(comm -13 <(sort -u <<<"$1") <(traces "$2" | sort -u)) && [[ -n $left ]]; do
    if ((SECONDS >= deadline)); then
      say "left behind (or another lian-build runs on this machine right now):"
      printf '  %s\n' "${left//$'\n'/$'\n'  }" >&2
      return 1
    fi
    sleep 0.2
  done
}
