# shellcheck shell=bash
# What a test run leaves behind on the machine. Nothing is the only right answer.
#
# The tests run with all their directories (TMPDIR, XDG_*) below one scratch directory, so whatever belongs to them carries
# its path: a process in its arguments, a mount in its mount point, a lease in its directory. Control groups do not: those
# that are named like ours are compared with those of before.

# cgroups_of_ours: the control groups of leases, on this machine.
cgroups_of_ours() {
  find /sys/fs/cgroup -mindepth 1 -maxdepth 4 -type d \( -name 'lb-*' -o -name 'lian-build*' \) 2>/dev/null | sort
}

# processes_of SCRATCH: pid and command of everything that was started with, stands in, or has its root in the directory.
processes_of() {
  local scratch=$1 proc pid command
  for proc in /proc/[0-9]*; do
    pid=${proc#/proc/}
    [[ $pid != "$$" && $pid != "$BASHPID" ]] || continue
    command=$(tr '\0' ' ' 2>/dev/null <"$proc/cmdline") || continue
    if [[ $command == *"$scratch"* || $(readlink "$proc/cwd" 2>/dev/null) == "$scratch"* ||
      $(readlink "$proc/root" 2>/dev/null) == "$scratch"* ]]; then
      printf 'process %s: %s\n' "$pid" "${command:0:200}"
    fi
  done
}

# leftovers SCRATCH CGROUPS_BEFORE: prints one line for each thing that is left.
leftovers() {
  local scratch=$1 before=$2 line
  processes_of "$scratch"
  while read -r _ line _; do
    [[ $line != "$scratch"* ]] || printf 'mount %s\n' "$line"
  done </proc/self/mounts
  comm -13 <(printf '%s\n' "$before") <(cgroups_of_ours) | sed -n 's/^\(.\)/control group \1/p'
  # A lease's directory and sockets. Caches and state may stay: they are meant to.
  find "$scratch" \( -type s -o -type d -name 'lb-*' \) -prune 2>/dev/null | sed 's/^/in the file system: /'
}

# leftovers_check SCRATCH CGROUPS_BEFORE: fails, naming them, when anything is left.
# A daemon that was told to stop may need a moment to be gone: it gets ten seconds.
leftovers_check() {
  local deadline=$((SECONDS + 10)) left
  while left=$(leftovers "$1" "$2") && [[ -n $left ]]; do
    if ((SECONDS >= deadline)); then
      say "left behind by the tests:"
      printf '  %s\n' "${left//$'\n'/$'\n'  }" >&2
      return 1
    fi
    sleep 0.2
  done
}
