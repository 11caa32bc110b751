# PID 1 of a runner's namespaces. When it ends, the kernel kills every process in them and every mount is gone.
# It ends when its standard input does: the other end of that pipe is held by the process that leased the runner, so
# this also holds when that process is killed.
# $1 the lease's runtime directory  $2 sshd  $3 "rootless" or "root"  $4 size of the secrets' tmpfs
set -eu
umask 077
lease=$1 sshd=$2 mode=$3 size=$4
exec 3<&0 </dev/null

# Every mount is one of these namespaces alone: `-n` keeps it out of the machine's /run/mount.
#
# sshd insists on /run/sshd. Where the machine has none it is not made there, for it would stay: /run becomes a tmpfs of
# these namespaces with all that the machine's has in it.
private_run() {
    new=$lease/machine-run
    mkdir "$new"
    mount -n -t tmpfs -o mode=0755,nosuid,nodev lian-run "$new"
    for entry in /run/* /run/.[!.]*; do
        name=$new/${entry##*/}
        # What vanishes meanwhile is not missed.
        if [ -L "$entry" ]; then
            cp -P "$entry" "$name"
        elif [ -d "$entry" ]; then
            mkdir "$name" && mount -n --rbind "$entry" "$name"
        elif [ -e "$entry" ]; then
            : >"$name" && mount -n --bind "$entry" "$name"
        fi || true
    done
    mkdir -m 0755 "$new/sshd"
    mount -n --move "$new" /run
}
if [ "$mode" = rootless ]; then
    # Rootless, /run is a private copy already.
    rm -rf /run/sshd
    mkdir -m 0755 /run/sshd
elif [ ! -d /run/sshd ]; then
    private_run
fi

# Kernels before 6.4 do not know `noswap`; the caller says so where the machine has swap.
mount -n -t tmpfs -o "mode=0700,nosuid,nodev,noexec,size=$size,noswap" lian-secrets "$lease/secrets" 2>/dev/null || {
    mount -n -t tmpfs -o "mode=0700,nosuid,nodev,noexec,size=$size" lian-secrets "$lease/secrets"
    : >"$lease/secrets-may-swap"
}
mount -n --bind "$lease/sshd/passwd" /etc/passwd
if [ -e /etc/shadow ]; then mount -n --bind "$lease/sshd/shadow" /etc/shadow; fi
# Whoever gets in with a terminal is in none of the machine's books.
for book in /run/utmp /var/run/utmp /var/log/wtmp /var/log/btmp /var/log/lastlog; do
    if [ -f "$book" ]; then
        : >>"$lease/sshd/book"
        mount -n --bind "$lease/sshd/book" "$book"
    fi
done

(
    code=0
    "$sshd" -D -f "$lease/sshd/sshd_config" -E "$lease/sshd/sshd.log" || code=$?
    echo "$code" >"$lease/sshd/sshd.exit.new"
    mv "$lease/sshd/sshd.exit.new" "$lease/sshd/sshd.exit"
) 3<&- &

(while read -r _; do :; done) <&3 3<&- &
held=$!
exec 3<&-
# Waiting also reaps what the kernel hands to PID 1.
wait "$held" || true
