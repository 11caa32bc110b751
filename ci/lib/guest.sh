# shellcheck shell=bash
# A whole machine for the tests: a Debian 12 with systemd, cloud-init and sshd, as clouds offer it, for QEMU without
# acceleration. Nothing of a runner is in it: the user data has to bring that.

# shellcheck disable=SC2034 # for ci/faults
GUEST_PACKAGES=(e2fsprogs ipxe-qemu mmdebstrap qemu-system-x86 qemu-utils seabios)
# shellcheck disable=SC2034
GUEST_ARM_PACKAGES=(arch-test binfmt-support qemu-efi-aarch64 qemu-system-arm qemu-user-static)

# What is beside the essential packages in a Debian 12 that clouds offer, as far as it matters here.
GUEST_INSIDE=(
  ca-certificates cloud-guest-utils cloud-init curl dbus ifupdown initramfs-tools iproute2 isc-dhcp-client openssh-server procps
  python3 sudo systemd-sysv systemd-timesyncd udev wget
)

# setup_guest_image stock|baked [ARCHITECTURE]: prints the directory that holds kernel, initrd and disk.qcow2. A `baked` one has
# the runner's packages too, as a snapshot of a runner does: without acceleration apt needs minutes for them at each first boot.
setup_guest_image() {
  local name=$1 key
  GUEST_ARCHITECTURE=${2:-$(dpkg --print-architecture)}
  GUEST_INCLUDE=("${GUEST_INSIDE[@]}" "linux-image-cloud-$GUEST_ARCHITECTURE")
  [[ $name == stock ]] || mapfile -t -O "${#GUEST_INCLUDE[@]}" GUEST_INCLUDE < <(grep -v '^#' "$ROOT_DIR/runner/packages")
  key=$(content_key "${GUEST_INCLUDE[*]} $GUEST_ARCHITECTURE" "$CI_DIR/lib/guest.sh" "$CI_DIR/lib/guest_hook")
  cached "guest-$name-$GUEST_ARCHITECTURE" "$key" \
    "guest image, $name, $GUEST_ARCHITECTURE" "mmdebstrap and the Debian mirror, some minutes" make_guest_image
}

# make_guest_image DIR: fills it, with the packages in GUEST_INCLUDE.
make_guest_image() {
  local out=$1 include
  printf -v include '%s,' "${GUEST_INCLUDE[@]}"
  mmdebstrap --variant=apt --components=main --architectures="$GUEST_ARCHITECTURE" --include="${include%,}" \
    --essential-hook="$CI_DIR/lib/guest_hook essential \"\$1\"" --customize-hook="$CI_DIR/lib/guest_hook customize \"\$1\"" \
    bookworm "$out/root" || return
  printf '%s\n' "$GUEST_ARCHITECTURE" >"$out/architecture"
  cp -- "$out"/root/boot/vmlinuz-* "$out/kernel" || return
  cp -- "$out"/root/boot/initrd.img-* "$out/initrd" || return
  # As large as the smallest of Hetzner's machines; what is not written takes no room.
  truncate --size 40G "$out/disk.raw"
  mke2fs -q -t ext4 -L root -E lazy_itable_init=1,lazy_journal_init=1 -d "$out/root" "$out/disk.raw" || return
  rm -rf -- "$out/root"
  qemu-img convert -O qcow2 "$out/disk.raw" "$out/disk.qcow2" || return
  rm -f -- "$out/disk.raw"
}
