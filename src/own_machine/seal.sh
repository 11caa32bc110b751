# Takes from a runner what belongs to one machine and one lease, so that its disk can be a snapshot that many start from. What it
# was made from is said in a file. $1 lian-build's version  $2 hash of the recipe  $3 directory of buildctl and buildkitd
# Prints BuildKit's version.
set -eu
umask 022
buildkit=$("$3/buildkitd" --version | cut -d ' ' -f 3)
mkdir -p /usr/lib/lian-build
printf 'VERSION=%s\nRECIPE=%s\nBUILDKIT=%s\n' "$1" "$2" "$buildkit" >/usr/lib/lian-build/release

# As `install.sh seal` does for a container's root, but for the resolver and the name, which are the machine's network's.
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
[ ! -e /etc/machine-id ] || : >/etc/machine-id
rm -rf /var/cache/apt/* /var/lib/apt/lists/*
if [ -d /run/systemd/system ]; then systemctl stop lian-deadman.timer; fi
rm -f /etc/ssh/lian_host_* /root/.ssh/authorized_keys /var/lib/lian-build/* /usr/lib/lian-build/boot
if command -v cloud-init >/dev/null 2>&1; then cloud-init clean --logs >/dev/null 2>&1 || true; fi
echo "$buildkit"
# Last: a container that is without its deadline ends within seconds.
rm -f /etc/lian-build/*
sync
