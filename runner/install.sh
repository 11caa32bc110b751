#!/bin/sh
# Makes a runner out of a Debian 12 root that has the packages: configuration, directories, units. Runs inside of it, as
# root, beside the other files of this recipe. `buildctl` and `buildkitd` are in /usr/local/bin already, or come later.
#
#   install.sh        on a machine that will be one runner
#   install.sh seal   in a root that many runners will start from: also takes away what belongs to one machine
set -eu
recipe=$(dirname -- "$0")
umask 022

put() { install -D -m "$1" -- "$recipe/$2" "$3"; }
put 0755 runner-init /usr/lib/lian-build/runner-init
put 0755 deadman /usr/lib/lian-build/deadman
put 0644 sshd.conf /etc/ssh/sshd_config.d/00-lian-build.conf

mkdir -p /etc/lian-build /var/lib/lian-build /var/lib/buildkit /workspace /build/extra-contexts /build/output
install -d -m 0700 /root/.ssh
# One directory with all that BuildKit runs.
mkdir -p /usr/local/bin
ln -sf /usr/sbin/runc /usr/local/bin/runc

# A machine of its own has systemd; a container has neither it nor a use for the units.
if [ -d /lib/systemd/system ] && [ -x /lib/systemd/systemd ]; then
    put 0644 lian-deadman.service /etc/systemd/system/lian-deadman.service
    put 0644 lian-deadman.timer /etc/systemd/system/lian-deadman.timer
    mkdir -p /etc/systemd/system/timers.target.wants
    ln -sf ../lian-deadman.timer /etc/systemd/system/timers.target.wants/lian-deadman.timer
fi

# No host key, id, name or resolver is shared by all runners: each makes or is given its own.
if [ "${1:-}" = seal ]; then
    rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /etc/hostname /etc/resolv.conf
    [ ! -e /etc/machine-id ] || : >/etc/machine-id
    rm -rf /var/cache/apt/* /var/lib/apt/lists/*
fi
