#!/usr/bin/env bash
# What a person would write by hand for one build on a throwaway BuildKit: the yardstick of `ci/bench`.
#
#   baseline.sh build CONTEXT CACHE RESULT   the whole way; RESULT becomes an OCI tar; CACHE is BuildKit's directory, or - for none
#   baseline.sh rsync CONTEXT                only an rsync of CONTEXT through a fresh sshd
#
# Prints, as JSON on stdout, the seconds it took in all, of rsync, and from "sshd and buildkitd answer" to the first step.
# It has no limits, no measuring, no events, no checks, and no care for what goes wrong: `lian-build` does, and may cost at
# most a tenth more.
set -euo pipefail

what=$1 context=$2 cache=${3:--} result=${4:-}
now() { printf '%s' "${EPOCHREALTIME/,/.}"; }
minus() { awk "BEGIN { printf \"%.3f\", $1 - $2 }"; }

started=$(now)
dir=$(mktemp -d /tmp/lbb.XXXXXX)
buildkitd_pid='' sshd_pid='' run_sshd=''
cleanup() {
  if [[ -n $buildkitd_pid ]]; then
    # Its own way of stopping takes a second, which nobody owes to a machine that is thrown away.
    kill -KILL "$buildkitd_pid" 2>/dev/null || true
    # A zombie is gone: who reaps it is the machine's business, and may take a second.
    while grep -qs '^State:.[^Z]' "/proc/$buildkitd_pid/status"; do sleep 0.01; done
  fi
  [[ ! -S $dir/master ]] || ssh -F "$dir/ssh_config" -O exit runner 2>/dev/null || true
  [[ -z $sshd_pid ]] || { kill "$sshd_pid" && wait "$sshd_pid"; } 2>/dev/null || true
  [[ -z $run_sshd ]] || rmdir /run/sshd 2>/dev/null || true
  rm -rf -- "$dir"
}
trap cleanup EXIT

# sshd on a loopback port that is probably free, with keys made for this run.
ssh-keygen -q -t ed25519 -N '' -f "$dir/host" &
ssh-keygen -q -t ed25519 -N '' -f "$dir/user"
wait $!
port=$(shuf --input-range=20000-32000 --head-count=1)
cat >"$dir/sshd_config" <<EOF
ListenAddress 127.0.0.1:$port
HostKey $dir/host
AuthorizedKeysFile $dir/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
EOF
cat >"$dir/ssh_config" <<EOF
Host runner
  HostName 127.0.0.1
  Port $port
  User $(id -un)
  IdentityFile $dir/user
  IdentitiesOnly yes
  StrictHostKeyChecking yes
  UserKnownHostsFile $dir/known_hosts
  ControlPath $dir/master
  LogLevel ERROR
EOF
printf '[127.0.0.1]:%s %s\n' "$port" "$(cut -d' ' -f1,2 "$dir/host.pub")" >"$dir/known_hosts"
if [[ ! -d /run/sshd ]]; then
  mkdir -p /run/sshd
  run_sshd=yes
fi
"$(command -v sshd)" -D -e -f "$dir/sshd_config" 2>"$dir/sshd.log" &
sshd_pid=$!
until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.01; done
ssh -F "$dir/ssh_config" -M -N -f runner

first_step=0
if [[ $what == build ]]; then
  root=$dir/buildkit
  [[ $cache == - ]] || root=$cache
  buildkitd_pid=$(ssh -F "$dir/ssh_config" runner "$LIAN_TEST_BUILDKIT_DIR/buildkitd --root $root \
    --addr unix://$dir/buildkitd.sock --oci-worker-binary runc --oci-worker-net host >$dir/buildkitd.log 2>&1 </dev/null & echo \$!")
  until "$LIAN_TEST_BUILDKIT_DIR/buildctl" --addr "unix://$dir/buildkitd.sock" debug workers >/dev/null 2>&1; do
    sleep 0.01
  done
fi
ready=$(now)

rsync --archive --rsh "ssh -F $dir/ssh_config" -- "$context/" "runner:$dir/context/"
synced=$(now)

if [[ $what == build ]]; then
  ssh -F "$dir/ssh_config" runner "$LIAN_TEST_BUILDKIT_DIR/buildctl --addr unix://$dir/buildkitd.sock build --progress plain \
    --frontend dockerfile.v0 --local context=$dir/context --local dockerfile=$dir/context --output type=oci" \
    >"$result" 2> >(while read -r line; do
      [[ $line != '#1 '* || -e $dir/first ]] || now >"$dir/first"
      printf '%s\n' "$line"
    done >"$dir/log")
  first_step=$(minus "$(<"$dir/first")" "$ready")
fi

trap - EXIT
cleanup
printf '{"total": %s, "rsync": %s, "first_step": %s}\n' "$(minus "$(now)" "$started")" "$(minus "$synced" "$ready")" "$first_step"
