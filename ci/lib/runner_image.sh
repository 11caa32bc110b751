# shellcheck shell=bash
# The root of the runner's image, made by the command that users have: `lian-build runners image`.

# setup_runner_image BUILDKIT_DIR: prints the directory that holds root.tar.
setup_runner_image() {
  local key
  RUNNER_BUILDKIT=$1
  key=$(content_key "${1##*/} $(dpkg --print-architecture)" "$ROOT_DIR"/runner/* "$ROOT_DIR"/src/runner_image/*.rs "$CI_DIR/lib/runner_image.sh")
  cached runner-image "$key" "runner image" "cargo build, then mmdebstrap and the Debian mirror, a minute" make_runner_image
}

# make_runner_image DIR: fills it.
make_runner_image() {
  LIAN_BUILDKIT_DIR=$RUNNER_BUILDKIT lian_build runners image --output "$1/root.tar"
}
