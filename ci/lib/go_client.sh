# shellcheck shell=bash
# The official Go client of Hetzner's cloud API on our simulator. Compiling it takes minutes, so it is not part of `ci/test`.

# make_go_client DIR: fills it with the program of the module in ci/hcloud-go, whose go.sum pins every byte.
make_go_client() {
  local out=$1
  cd -- "$CI_DIR/hcloud-go" || return
  CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -o "$out/hcloud-go" .
}

# check_go_client: it lives a server's whole life, and the bill has its one hour.
check_go_client() {
  local client key scratch pid status=0 deadline=$((SECONDS + 20))
  need_commands "the Go client" go curl
  key=$(content_key "$(go env GOVERSION GOARCH)" "$CI_DIR"/hcloud-go/* "$CI_DIR/lib/go_client.sh")
  client=$(cached hcloud-go "$key" "hcloud-go" "Go modules and the compiler, 2 minutes on 2 cores" make_go_client)/hcloud-go || return
  cargo build --locked --quiet --manifest-path "$ROOT_DIR/Cargo.toml" --workspace --bin lian-sim || return
  scratch=$(mktemp -d /tmp/lbg.XXXXXX)
  "${CARGO_TARGET_DIR:-$ROOT_DIR/target}/debug/lian-sim" hcloud --step 0 >"$scratch/where" &
  pid=$!
  until grep -qs LIAN_SIM "$scratch/where" || ((SECONDS > deadline)); do sleep 0.05; done
  (
    # shellcheck source=/dev/null
    source "$scratch/where"
    "$client" "$HCLOUD_ENDPOINT" "$HCLOUD_TOKEN" &&
      [[ $(curl --silent --fail "$LIAN_SIM/_sim/servers") == '[]' ]] &&
      curl --silent --fail "$LIAN_SIM/_sim/bill" | grep -q '"hours":1,'
  ) || status=$?
  kill "$pid"
  wait "$pid" || true
  rm -rf -- "$scratch"
  return "$status"
}
