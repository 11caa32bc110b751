# shellcheck shell=bash
# What every script under ci/ shares: where things are, how a step is reported, how a slow result is cached.
#
# Sourced, never run. A sourcing script has already said `set -euo pipefail`.
# Everything here reports on stderr, so that `ci/setup --print-env` owns stdout.

CI_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # for the scripts that source this
ROOT_DIR=$(dirname -- "$CI_DIR")
CACHE_DIR=${LIAN_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lian-build-ci}

say() { printf '[%s] %s\n' "${0##*/}" "$*" >&2; }

# die MESSAGE [HINT…]: stops the run; every further argument is a line that says what to do.
die() {
  say "error: $1"
  shift
  local hint
  for hint in "$@"; do say "  hint: $hint"; done
  exit 1
}

# now_ms: milliseconds since the epoch, without starting a process.
now_ms() {
  local now=${EPOCHREALTIME/[.,]/}
  printf '%s' "$((now / 1000))"
}

# seconds_since START_MS: the time passed, as seconds with one digit.
seconds_since() {
  local passed=$(($(now_ms) - $1))
  printf '%d.%d' "$((passed / 1000))" "$((passed % 1000 / 100))"
}

# step TITLE COMMAND…: runs the command with its output shown, and says how long it took.
step() {
  local title=$1 started status=0
  shift
  started=$(now_ms)
  say "$title …"
  "$@" || status=$?
  if ((status != 0)); then
    say "$title: failed with status $status after $(seconds_since "$started") s"
    return "$status"
  fi
  say "$title: done in $(seconds_since "$started") s"
}

# quiet_step TITLE WAITS_FOR COMMAND…: the same for talkative commands: the output goes to a log that is shown on failure.
# `set -e` does not reach into COMMAND when it is a function (bash turns it off left of `||`): it says `|| return` itself.
quiet_step() {
  local title=$1 waits_for=$2 log started status=0
  shift 2
  mkdir -p "$CACHE_DIR/logs"
  log=$(mktemp "$CACHE_DIR/logs/step.XXXXXX")
  started=$(now_ms)
  say "$title: waiting for $waits_for …"
  ("$@") >"$log" 2>&1 || status=$?
  if ((status != 0)); then
    say "$title: failed with status $status after $(seconds_since "$started") s; the last lines of its output:"
    tail -n 40 -- "$log" >&2
    rm -f -- "$log"
    return "$status"
  fi
  rm -f -- "$log"
  say "$title: done in $(seconds_since "$started") s"
}

# content_key TEXT FILE…: names a result by everything it is made from.
content_key() {
  local text=$1
  shift
  { printf '%s\0' "$text"; cat -- "$@"; } | sha256sum | cut -c1-20
}

# cached PART KEY TITLE WAITS_FOR FUNCTION: prints the directory that holds PART as made from KEY.
#
# FUNCTION is called with an empty directory to fill, and only when no earlier run has finished the same work. The
# result appears under its final name in one rename, so a run that was killed leaves nothing that looks finished. Two runs
# at once: the second waits for the first, and says so.
cached() {
  local part=$1 key=$2 title=$3 waits_for=$4 make=$5
  local final=$CACHE_DIR/$part/$key lock=$CACHE_DIR/$part.lock fd
  if [[ ! -d $final ]]; then
    mkdir -p "$CACHE_DIR/$part"
    exec {fd}>"$lock"
    if ! flock --nonblock "$fd"; then
      say "$title: waiting for another run that holds $lock"
      flock "$fd"
    fi
    if [[ ! -d $final ]]; then
      # Nobody else can be filling one while we hold the lock: these are what killed runs left.
      rm -rf -- "$CACHE_DIR/$part"/.unfinished.*
      local unfinished=$CACHE_DIR/$part/.unfinished.$$
      mkdir -p "$unfinished"
      if ! quiet_step "$title" "$waits_for" "$make" "$unfinished"; then
        rm -rf -- "$unfinished"
        return 1
      fi
      mv -T -- "$unfinished" "$final"
    fi
    exec {fd}>&-
  fi
  printf '%s\n' "$final"
}

# lian_build ARGUMENT…: runs the command as the tests build it. `cargo run` would compile it once more, with the features that
# its dependencies have without the tests'.
lian_build() {
  cargo test --locked --quiet --manifest-path "$ROOT_DIR/Cargo.toml" --no-run --test it >&2 || return
  "${CARGO_TARGET_DIR:-$ROOT_DIR/target}/debug/lian-build" "$@"
}

# need_commands PURPOSE COMMAND…: stops with the names of all that are missing.
need_commands() {
  local purpose=$1 command missing=()
  shift
  for command in "$@"; do
    command -v -- "$command" >/dev/null || missing+=("$command")
  done
  if ((${#missing[@]} > 0)); then
    die "$purpose needs ${missing[*]}, which this machine does not have in PATH"
  fi
}
