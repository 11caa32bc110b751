# shellcheck shell=bash
# Debian packages: installs those that are missing, and starts none of the daemons that come with them.

# shellcheck disable=SC2034 # the lists are for ci/setup
# What the crate's C parts, a `'local` build, its base image, its registry and its NATS server need.
RUNTIME_PACKAGES=(
  ca-certificates docker-registry gcc git libc6-dev mmdebstrap nats-server openssh-client openssh-server python3 rsync runc
  util-linux
)

# shellcheck disable=SC2034
# What an ordinary user needs for the same, and what the tests of that need.
ROOTLESS_PACKAGES=(rootlesskit slirp4netns uidmap)

# shellcheck disable=SC2034
# What only the checks and tests need.
TEST_PACKAGES=(docker.io hcloud-cli iproute2 procps python3-venv shellcheck strace)

# The user that rootless tests become: an ordinary one with subordinate ids, as a desktop user has.
ROOTLESS_USER=lian-build-ci

# missing_packages NAME…: prints those that are not installed.
missing_packages() {
  local installed name
  installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' -- "$@" 2>/dev/null || true)
  for name in "$@"; do
    grep -qx "installed $name" <<<"$installed" || printf '%s\n' "$name"
  done
}

# setup_packages NAME…: makes sure they are installed.
setup_packages() {
  local missing
  command -v dpkg-query >/dev/null ||
    die "this machine has no dpkg: the set-up knows Debian 12 only" "provide by hand: $*"
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]} > 0)) || return 0
  if ((EUID != 0)); then
    die "these Debian packages are missing: ${missing[*]}" "as root: apt-get install --no-install-recommends ${missing[*]}"
  fi
  quiet_step "package lists" "the Debian mirror" apt-get update
  quiet_step "packages ${missing[*]}" "the Debian mirror and dpkg" install_packages "${missing[@]}"
}

# install_packages NAME…: apt-get install under a policy that starts no service. A policy that is already there is kept.
install_packages() (
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'rm -f -- "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -- "$@"
)

# setup_rootless_user: makes the user, when we may.
setup_rootless_user() {
  ((EUID == 0)) || return 0
  if ! getent passwd "$ROOTLESS_USER" >/dev/null; then
    quiet_step "user $ROOTLESS_USER for rootless tests" "useradd" \
      useradd --create-home --home-dir "/var/lib/$ROOTLESS_USER" --shell /bin/bash "$ROOTLESS_USER"
  fi
  grep -q "^$ROOTLESS_USER:" /etc/subuid ||
    die "user \`$ROOTLESS_USER\` has no subordinate ids in /etc/subuid" "usermod --add-subuids 200000-265535 --add-subgids 200000-265535 $ROOTLESS_USER"
}
