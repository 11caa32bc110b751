# shellcheck shell=bash
# Programs that only the checks need, built by cargo from the crates registry with their own lock files.

# shellcheck disable=SC2034 # both are for ci/test
CARGO_DENY_VERSION=0.20.2 CARGO_NEXTEST_VERSION=0.9.151

# setup_cargo_tool NAME VERSION: prints the directory that holds bin/NAME.
setup_cargo_tool() {
  CARGO_TOOL=$1 CARGO_TOOL_VERSION=$2
  cached "tool-$1" "$(content_key "$1 $2 $(uname -m)" <(declare -f make_cargo_tool))" \
    "$1 $2" "cargo install, some minutes on 2 cores" make_cargo_tool
}

# make_cargo_tool DIR: fills it with CARGO_TOOL. Runs outside of the checkout: its settings are not the tool's.
make_cargo_tool() {
  local out=$1
  cd -- "$out" || return
  CARGO_TARGET_DIR=$out/target cargo install --locked --root "$out" --version "=$CARGO_TOOL_VERSION" "$CARGO_TOOL" || return
  rm -rf -- "$out/target"
}
