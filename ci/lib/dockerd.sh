# shellcheck shell=bash
# A Docker daemon of our own: everything of it is below one directory, and nothing of the machine's is touched.
#
# No iptables rules, no forwarding and no NAT: containers reach the machine by the bridge's address and are reached through
# Docker's proxy on the loopback, which is all that the tests use, and works where rules cannot be set. A daemon that the
# machine may have is another one: this one has its own bridge, control group, socket and directories.

DOCKERD_NETWORK=10.213
dockerd_ask() { docker --host "unix://$DOCKERD_DIR/docker.sock" "$@"; }

# dockerd_alive DIR: whether the daemon of that directory runs.
dockerd_alive() {
  local pid
  pid=$(cat -- "$1/dockerd.pid" 2>/dev/null) && [[ -n $pid ]] || return 1
  [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *" $1/dockerd.pid "* ]]
}

DOCKERD_DIR=

# start_dockerd DIR NAME: starts it with its files in DIR and a bridge and a control group called NAME; sets DOCKERD_DIR.
# Returns once it answers.
start_dockerd() {
  local dir=$1 name=$2 number address deadline
  # It looks for its proxy and its init there.
  PATH=$PATH:/usr/sbin:/sbin
  ((EUID == 0)) || die "a Docker daemon needs root"
  need_commands "a Docker daemon" docker dockerd ip
  mkdir -p "$dir"
  chmod 0711 "$dir"
  DOCKERD_DIR=$dir
  # The first network that nobody on this machine uses.
  for ((number = 77; number < 255; number++)); do
    address=$DOCKERD_NETWORK.$number
    [[ $(ip -4 address; ip -4 route) == *"$address."* ]] || break
  done
  # Before there is a bridge: stop_dockerd takes away what is named here.
  printf '%s\n' "$name" >"$dir/name"
  ip link delete dev "$name" 2>/dev/null || true
  ip link add name "$name" type bridge || die "the machine's kernel makes no bridge"
  ip address add "$address.1/24" dev "$name"
  ip link set dev "$name" up
  printf '{}\n' >"$dir/daemon.json"
  # A session of its own: a Ctrl-C is for the tests, which then give back what they have.
  setsid dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" --host "unix://$dir/docker.sock" \
    --config-file "$dir/daemon.json" --bridge "$name" --cgroup-parent "/$name" --iptables=false --ip6tables=false --ip-masq=false \
    --ip-forward=false >"$dir/dockerd.log" 2>&1 </dev/null &
  deadline=$((SECONDS + 30))
  until dockerd_ask version >/dev/null 2>&1; do
    if ((SECONDS >= deadline)) || ! kill -0 $! 2>/dev/null; then
      tail -n 20 -- "$dir/dockerd.log" >&2
      stop_dockerd
      die "dockerd did not start"
    fi
    sleep 0.1
  done
}

# load_runner_image TAR: gives the daemon the runner's image, unless it has the one that was made from this file.
load_runner_image() {
  local tar=$1
  [[ $(cat -- "$DOCKERD_DIR/image" 2>/dev/null) != "$tar" ]] || return 0
  DOCKER_HOST=unix://$DOCKERD_DIR/docker.sock lian_build runners image --from "$tar" >/dev/null || return
  printf '%s' "$tar" >"$DOCKERD_DIR/image"
  # The one that had the name before.
  dockerd_ask image prune --force >/dev/null
}

# dockerd_remains: fails, naming them, when there are containers, volumes or networks of somebody's; removes them.
dockerd_remains() {
  local left
  left=$(
    dockerd_ask ps --all --format 'container {{.Names}} ({{.Status}})'
    dockerd_ask volume ls --format 'volume {{.Name}}'
    dockerd_ask network ls --filter type=custom --format 'network {{.Name}}'
  ) || return
  [[ -n $left ]] || return 0
  say "left behind in Docker:"
  printf '  %s\n' "${left//$'\n'/$'\n'  }" >&2
  dockerd_ask ps --all --quiet | xargs --no-run-if-empty docker --host "unix://$DOCKERD_DIR/docker.sock" rm --force --volumes >/dev/null
  dockerd_ask volume ls --quiet | xargs --no-run-if-empty docker --host "unix://$DOCKERD_DIR/docker.sock" volume rm >/dev/null
  return 1
}

# stop_dockerd: stops the daemon of DOCKERD_DIR, if it runs, and takes its bridge and control groups away. Fails, naming
# them, when the daemon or mounts of it stay.
stop_dockerd() {
  local dir=$DOCKERD_DIR name pid deadline left
  [[ -n $dir && -e $dir/name ]] || return 0
  name=$(<"$dir/name")
  if dockerd_alive "$dir"; then
    pid=$(<"$dir/dockerd.pid")
    kill "$pid"
    deadline=$((SECONDS + 30))
    # Itself, not by its file, which it removes before it takes down its own mount and containerd.
    while [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *" $dir/dockerd.pid "* ]]; do
      if ((SECONDS >= deadline)); then
        say "dockerd (process $pid) does not end"
        return 1
      fi
      sleep 0.1
    done
  fi
  # Where mounts are private it mounts its data over itself, and not always takes that away.
  umount -- "$dir/data" 2>/dev/null || true
  ip link delete dev "$name" 2>/dev/null || true
  find /sys/fs/cgroup -mindepth 1 -depth -type d \( -path "*/$name" -o -path "*/$name/*" \) -exec rmdir -- {} + 2>/dev/null || true
  rm -f -- "$dir/name" "$dir/docker.sock" "$dir/dockerd.pid"
  left=$(
    ip -oneline link show dev "$name" 2>/dev/null | sed 's/^/bridge /'
    find /sys/fs/cgroup -mindepth 1 -type d -name "$name" -printf 'control group %p\n'
    cut -d' ' -f2 /proc/self/mounts | grep -F -- "$dir/" | sed 's/^/mount /'
  ) || true
  [[ -z $left ]] || { say "left behind by dockerd: ${left//$'\n'/, }"; return 1; }
  # containerd's sockets are all that is in it now.
  rm -rf -- "$dir/exec"
}

# abandon_dockerd: the same for a run that is broken off: containers that still run go first, for their shims would stay.
abandon_dockerd() {
  ! dockerd_alive "$DOCKERD_DIR" || dockerd_remains || true
  stop_dockerd || true
}
