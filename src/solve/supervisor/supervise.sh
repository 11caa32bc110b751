# Runs a command on the runner, once, apart from the connection that asks for it, and passes its log on from any byte.
# Both are one command, so that one round trip does it, and it is the same whether the command was never started, runs or
# has ended.
#
# $1 state directory of this command   $2 its log   $3 bytes of the log that the caller has already   $4... the command
# stdout: the log from there on, as it grows.  It ends with the command, or with standard input.
# stderr, last line: `lian-exit CODE`, or `running` in place of the code when the supervisor was killed.  `lian-cut` on a line
# before it says that some of the log could not be written.
# Exit 3: it did not start, or its log was not passed on to the end; why is on stderr.
set -eu
umask 077
state=$1 log=$2 have=$3
shift 3

# Whoever makes this directory starts the command; nobody does after that. No program is run here that a build waits for and
# need not be: each costs milliseconds.
if mkdir -- "$state" 2>/dev/null; then
    : >"$log"
    # Given back when the disk is full: room for the last words. And room for the exit code, which must not be lost.
    printf '%0262144d' 0 >"$log.room" || true
    printf '%-8s\n' running >"$state/exit"
    # A session of its own: nothing of it hangs on this connection. The log is written by `cat` and not by the command, for
    # that would fail with the log when the disk is full; what cannot be written is dropped, and the command goes on.
    # shellcheck disable=SC2016 # it is the inner shell that expands this
    setsid sh -c '
        state=$1 log=$2
        shift 2
        {
            code=0
            "$@" 2>&1 >/dev/null </dev/null || code=$?
            printf "%-8s\n" "$code" 1<>"$state/exit"
        } | until cat >>"$log"; do
            rm -f -- "$log.room"
            sleep 0.1 || sleep 1
        done
    ' supervise "$state" "$log" "$@" </dev/null >/dev/null 2>&1 &
    echo $! >"$state/pid"
fi

# Another call starts it at this moment.
tries=0
until [ -s "$state/pid" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 500 ]; then
        echo 'the supervisor did not start' >&2
        exit 3
    fi
    sleep 0.02 || sleep 1
done
read -r pid <"$state/pid"

# Not in the foreground: when the connection is lost nothing else would end it before the command does.
exec 3<&0 </dev/null
tail -c "+$((have + 1))" -s 0.01 -f --pid="$pid" -- "$log" 3<&- &
tail=$!
(
    while read -r _; do :; done <&3
    kill "$tail"
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
whole=yes
wait "$tail" || whole=no
kill "$watcher" 2>/dev/null || true
if [ "$whole" = no ]; then
    echo 'its log cannot be read to the end' >&2
    exit 3
fi

read -r code _ <"$state/exit"
# It was given back: whatever else is there by now, the disk was full.
[ -e "$log.room" ] || echo lian-cut >&2
echo "lian-exit $code" >&2
