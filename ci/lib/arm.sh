# shellcheck shell=bash
# What a build for ARM on an ARM guest needs, made on a machine of another architecture: the guest's image, BuildKit's programs and
# a root file system for its steps. Debian's own tools run ARM programs for that, by QEMU's user emulation.

# setup_arm_programs: lets this machine's kernel run ARM programs. A container has no systemd that would have done it.
setup_arm_programs() {
  local place=/proc/sys/fs/binfmt_misc
  [[ ! -e $place/qemu-aarch64 ]] || return 0
  [[ -e $place/register ]] || mount -t binfmt_misc binfmt_misc "$place" ||
    die "this machine cannot run ARM programs: $place cannot be mounted" "as root, outside of a container: modprobe binfmt_misc"
  [[ -e $place/qemu-aarch64 ]] || update-binfmts --enable qemu-aarch64
}

# setup_arm_buildkit: prints the directory that holds `linux-arm64` with buildctl and buildkitd in it.
setup_arm_buildkit() {
  local key
  key=$(content_key "$(go env GOVERSION) arm64" "$CI_DIR"/buildkit/go.{mod,sum} "$CI_DIR/lib/buildkit.sh")
  cached buildkit-arm64 "$key" "BuildKit for arm64" "the compiler, 3 minutes on 2 cores" make_arm_buildkit
}

make_arm_buildkit() {
  mkdir -- "$1/linux-arm64" || return
  GOARCH=arm64 make_buildkit "$1/linux-arm64"
}
