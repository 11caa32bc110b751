# held.sh COMMAND…: runs it until it ends, or until standard input does: whoever holds that is gone then.
"$@" </dev/null &
machine=$!
exec 3<&0
(
  read -r _ <&3
  kill -KILL "$machine"
) 2>/dev/null &
holder=$!
exec 3<&- </dev/null
wait "$machine"
status=$?
kill "$holder" 2>/dev/null
exit "$status"
