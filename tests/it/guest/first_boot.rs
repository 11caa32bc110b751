//! A stock machine, and the user data that makes a runner of it.

use super::world::{Guest, figure, key_pair};
use crate::support::Sandbox;

#[test]
#[ignore = "minutes in a machine without acceleration: ci/faults guest"]
fn a_stock_machine_becomes_a_runner_that_ends_by_itself() {
    let sandbox = Sandbox::new();
    let keys = sandbox.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    key_pair(&keys.join("host"));
    key_pair(&keys.join("client"));
    let file = |name: &str| keys.join(name).display().to_string();
    let printed = sandbox.run([
        "runners",
        "user-data",
        "--ssh-key",
        &file("client.pub"),
        "--host-key",
        &file("host"),
        "--hours=2",
    ]);
    let user_data = &printed.assert_code(0).stdout;

    let guest = Guest::boot("LIAN_TEST_GUEST_STOCK", &keys, user_data);
    let answers =
        guest.wait_until("it answers by SSH, with the key it was given", || guest.ssh("true").status.success());
    let ready = guest.wait_until("its first boot has ended", || {
        assert!(guest.is_on(), "it is off: {}", guest.console());
        guest.ssh("test -e /run/lian-boot/ready || test -e /run/lian-boot/failed").status.success()
    });
    assert!(!guest.ssh("cat /run/lian-boot/failed").status.success(), "{}", guest.says("cat /run/lian-boot/log"));

    // It is what clouds have: systemd, one hierarchy of control groups, the user data from the metadata address.
    assert_eq!(guest.says("cat /proc/1/comm; stat -fc %T /sys/fs/cgroup; cloud-id"), "systemd\ncgroup2fs\nhetzner");
    assert!(guest.asked().lines().any(|path| path == "/hetzner/v1/userdata"), "{}", guest.asked());
    // What the build needs has come from the mirror.
    guest.says("command -v rsync git runc && systemctl is-active ssh lian-deadman.timer");
    // Nothing but the lease's key opens it.
    assert_eq!(guest.says("grep -c . /root/.ssh/authorized_keys"), "1");
    assert!(guest.says("sshd -T").contains("passwordauthentication no"));
    // Whatever runs there could read the user data as long as nobody forbids it: what a build may not do is shown elsewhere.
    let seen = guest.says("curl -fsS --max-time 60 http://169.254.169.254/hetzner/v1/userdata");
    assert_eq!(seen, user_data.trim());

    // Nobody renews it, and its last moment has come.
    let moment = guest.says("test ! -e /var/lib/lian-build/expires && cat /etc/lian-build/hard-deadline");
    assert!(moment.parse::<i64>().unwrap() > 1_700_000_000, "{moment}");
    guest.says("echo 1 >/etc/lian-build/hard-deadline");
    let told = guest.wait_until("it is told", || true);
    let off = guest.wait_until("it powers itself off", || !guest.is_on());
    assert!(guest.console().contains("reboot: Power down"), "{}", guest.console());

    figure(&format!(
        "a stock machine: SSH after {answers} s, a runner after {ready} s; past its deadline off after {} s",
        off - told
    ));
}
