# Makes a runner of a Debian 12 machine. Its first boot calls this (the user data brings it), or the caller does over SSH where
# there is no user data. Safe to repeat. What a snapshot of a runner has already is not done again.
#
# All that it says is in /run/lian-boot/log; at the end /run/lian-boot/ready names the lease, or /run/lian-boot/failed says what
# went wrong.
#
#   sh boot              at the first boot
#   sh boot over-ssh     by the caller: sshd runs already, and takes the recipe's configuration for connections to come
set -eu
umask 022
state=/run/lian-boot
recipe=/usr/share/lian-build/runner
mkdir -p "$state"
exec 9>"$state/lock"
flock 9
lease=$(cat /etc/lian-build/lease)
if [ -e "$state/ready" ] && [ "$(cat "$state/ready")" = "$lease" ]; then exit 0; fi
rm -f "$state/failed"
exec >>"$state/log" 2>&1
doing=
ended() { [ "$1" = 0 ] || echo "it could not $doing (exit code $1)" >"$state/failed"; }
trap 'ended $?' EXIT
has_systemd() { [ -d /run/systemd/system ]; }

doing='put its files in place'
sh "$recipe/install.sh"
# sshd lets nobody in whose password is locked, not even with a key. This one fits no password and is not locked.
case $(getent shadow root | cut -d : -f 2) in '!'* | '') usermod -p '*' root ;; esac
# The lease's key and no other: the cloud may have added some of the project's.
if [ -e /etc/lian-build/authorized_keys ]; then
    install -m 0600 /etc/lian-build/authorized_keys /root/.ssh/authorized_keys
fi
# Where no host key was brought, the machine's own is the one that the provider told.
if [ ! -e /etc/ssh/lian_host_ed25519_key ]; then
    if [ ! -e /etc/ssh/ssh_host_ed25519_key ]; then ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; fi
    cp -p /etc/ssh/ssh_host_ed25519_key /etc/ssh/lian_host_ed25519_key
fi

# Before anything that may take long: from here on the machine ends by itself.
doing="start the dead man's switch"
if has_systemd; then
    systemctl daemon-reload
    systemctl start lian-deadman.timer
    # They would hold the package manager's lock, and take a build's time.
    systemctl stop apt-daily.timer apt-daily-upgrade.timer 2>/dev/null || true
elif ! pidof sshd >/dev/null 2>&1 && ! pidof -x runner-init >/dev/null 2>&1; then
    # A container, as it seems: what a runner's image starts does the same, and its end is the end of the container.
    # shellcheck disable=SC2016
    setsid sh -c '/usr/lib/lian-build/runner-init; kill -TERM 1' </dev/null 9>&- &
fi

doing='install the packages'
# missing: the packages of the recipe that are not there.
missing() {
    grep -v '^#' "$recipe/packages" | while read -r package; do
        state_of=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state_of=
        [ "$state_of" = installed ] || echo "$package"
    done
}
install_missing() {
    export DEBIAN_FRONTEND=noninteractive
    set -- -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0
    # shellcheck disable=SC2046
    apt-get "$@" update && apt-get "$@" install --yes --no-install-recommends $(missing)
}
for pause in 2 5 10 0; do
    [ -n "$(missing)" ] || break
    echo "to be installed: $(missing | tr '\n' ' ')"
    install_missing || sleep "$pause"
done
[ -z "$(missing)" ]

doing='check sshd'
# With the recipe's configuration, which was not there when it started where the user data did not bring it.
if has_systemd; then
    sshd -t
    systemctl is-active --quiet ssh || systemctl start ssh
    if [ "${1:-}" = over-ssh ]; then systemctl reload ssh; fi
fi
doing='say that it is ready'
echo "$lease" >"$state/ready.new"
mv "$state/ready.new" "$state/ready"
