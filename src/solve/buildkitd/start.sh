# Starts buildkitd on the runner and waits until it answers. One round trip: the files come on standard input.
# Safe to repeat: a daemon that runs or starts already is only waited for.
# $1 run directory  $2 directory of buildctl and buildkitd  $3 address  $4 socket  $5 seconds to wait
# $6 control group of the daemon, empty where it stays in its starter's
# Prints the workers as JSON. Exit 4: the daemon ended. Exit 5: it did not answer in time. Then its log is on stderr.
set -eu
umask 077
run=$1 bin=$2 address=$3 socket=$4 limit=$5 group=${6:-}
mkdir -p -- "$run"
cd -- "$run"
# Apart, so that a call which does not know of an earlier one changes nothing under a daemon that starts.
files=files.$$
mkdir -- "$files"
tar -x -f - -C "$files" --no-same-owner
if [ -e buildkitd.exit ]; then rm -rf -- buildkitd.exit buildkitd.pid buildkitd.started "$socket"; fi
mkdir -p -- t

PATH=$bin:$PATH
# Our own progress view bounds what it keeps; a clipped log would hide the error.
BUILDKIT_STEP_LOG_MAX_SIZE=-1
BUILDKIT_STEP_LOG_MAX_SPEED=-1
# Mount points of secrets and forwarded agents; a short path, for sockets are among them.
TMPDIR=$run/t
export PATH TMPDIR BUILDKIT_STEP_LOG_MAX_SIZE BUILDKIT_STEP_LOG_MAX_SPEED

# Whoever makes this directory starts the daemon; everybody waits for it.
if mkdir -- buildkitd.started 2>/dev/null; then
    cp -R -- "$files/." .
    # A session of its own: nothing of it hangs on this connection.
    # shellcheck disable=SC2016 # it is the inner shell that expands this
    setsid sh -c '
        if [ -n "$1" ]; then echo $$ >"$1/cgroup.procs"; fi
        shift
        ulimit -c 0
        "$@" >buildkitd.log 2>&1 </dev/null &
        echo $! >buildkitd.pid
        wait $!
        echo $? >buildkitd.exit.new
        mv buildkitd.exit.new buildkitd.exit
    ' supervise "$group" "$bin/buildkitd" --config "$run/buildkitd.toml" </dev/null >/dev/null 2>&1 &
fi
rm -rf -- "$files"

pause() { sleep 0.02 2>/dev/null || sleep 1; }
end=$(($(date +%s) + limit))
fail() {
    code=$1
    shift
    echo "$*" >&2
    tail -c 8192 buildkitd.log >&2 2>/dev/null || true
    exit "$code"
}
while :; do
    if [ -e buildkitd.exit ]; then fail 4 "buildkitd ended with exit code $(cat buildkitd.exit)"; fi
    if [ -S "$socket" ] && "$bin/buildctl" --addr "$address" debug workers --format '{{json .}}' 2>/dev/null; then break; fi
    if [ "$(date +%s)" -ge "$end" ]; then fail 5 "buildkitd did not answer within $limit s"; fi
    pause
done
grep -a -o 'auto snapshotter: using [a-z-]*' buildkitd.log || true
