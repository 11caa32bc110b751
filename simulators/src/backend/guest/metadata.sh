# shellcheck shell=bash
# metadata.sh DIR: answers one request to the metadata address, on standard input and output, from the files of DIR, where each
# `/` of a path is a `_`. What was asked for is written to DIR/asked.
dir=$1
read -r _ path _ || exit 0
while IFS= read -r line && [[ ${line%$'\r'} ]]; do :; done
path=${path%%\?*}
printf '%s\n' "$path" >>"$dir/asked"
file=$dir/${path//\//_}
status='200 OK'
[[ -f $file ]] || { status='404 Not Found' file=/dev/null; }
printf 'HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' "$status" "$(wc -c <"$file")"
cat -- "$file"
