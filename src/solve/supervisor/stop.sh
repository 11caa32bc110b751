# Ends a supervised command with all it started. $1 its state directory. What is not there needs no end.
if [ -s "$1/pid" ] && grep -q running "$1/exit"; then
    read -r pid <"$1/pid"
    kill -s TERM -- "-$pid" 2>/dev/null
fi
exit 0
