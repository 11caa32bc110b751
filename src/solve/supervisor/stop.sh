# Ends a supervised command with all it started, and returns when nothing of it is left. $1 its state directory. What is not
# there needs no end.
if [ -s "$1/pid" ] && grep -q running "$1/exit"; then
    read -r pid <"$1/pid"
    kill -s TERM -- "-$pid" 2>/dev/null
    tries=0
    while kill -s 0 -- "-$pid" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -ne 100 ] || kill -s KILL -- "-$pid" 2>/dev/null
        if [ "$tries" -gt 200 ]; then
            echo "process group $pid does not end" >&2
            exit 1
        fi
        sleep 0.05 || sleep 1
    done
fi
exit 0
