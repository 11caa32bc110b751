# shellcheck shell=bash
# A registry and a NATS server on free loopback ports, for as long as the script that starts them runs.

SERVICE_PIDS=()

# stop_services: stops what was started, and waits until it is gone.
stop_services() {
  local pid
  for pid in "${SERVICE_PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${SERVICE_PIDS[@]}"; do wait "$pid" 2>/dev/null || true; done
  SERVICE_PIDS=()
}

# wait_for_line FILE PATTERN NAME: until the file has a line that matches.
wait_for_line() {
  local deadline=$((SECONDS + 20))
  until grep -qs -- "$2" "$1"; do
    ((SECONDS < deadline)) || die "$3 did not start within 20 s: $(tail -n 3 -- "$1" 2>/dev/null)"
    sleep 0.05
  done
}

# start_registry DIR: sets REGISTRY to host:port of a registry that keeps its blobs in DIR.
start_registry() {
  local dir=$1
  mkdir -p "$dir"
  cat >"$dir/config.yml" <<EOF
version: 0.1
storage: { filesystem: { rootdirectory: "$dir/blobs" } }
http: { addr: "127.0.0.1:0" }
log: { level: info, accesslog: { disabled: true } }
EOF
  "$LIAN_TEST_REGISTRY" serve "$dir/config.yml" >"$dir/log" 2>&1 &
  SERVICE_PIDS+=($!)
  wait_for_line "$dir/log" 'listening on' "the registry"
  # shellcheck disable=SC2034 # for the caller
  REGISTRY=$(sed -n 's/^.*listening on \(127[0-9.]*:[0-9]*\).*$/\1/p' "$dir/log")
}

# start_nats DIR: sets NATS_PORT, and writes every message under `lian-build.` to DIR/messages.
start_nats() {
  local dir=$1 reply
  mkdir -p "$dir"
  "$LIAN_TEST_NATS" --addr 127.0.0.1 --port -1 --log "$dir/log" &
  SERVICE_PIDS+=($!)
  wait_for_line "$dir/log" 'Server is ready' "nats-server"
  NATS_PORT=$(sed -n 's/^.*Listening for client connections on 127[0-9.]*:\([0-9]*\).*$/\1/p' "$dir/log")
  # A subscriber needs no client: the protocol is lines of text.
  exec {NATS_FD}<>"/dev/tcp/127.0.0.1/$NATS_PORT"
  printf 'CONNECT {"verbose":false,"headers":false}\r\nSUB lian-build.> 1\r\nPING\r\n' >&"$NATS_FD"
  while read -r reply <&"$NATS_FD" && [[ $reply != PONG* ]]; do :; done
  cat <&"$NATS_FD" >"$dir/messages" &
  SERVICE_PIDS+=($!)
}
