//! The `sshd_config` of one lease, and where its keys are.

use std::fmt::Write as _;
use std::path::Path;

use super::lease_dirs::LeaseDirs;
use super::tools::Tools;
use crate::error::{Context as _, ErrorKind, Result};
use crate::lease::AuthorizedKey;
use crate::provider::host::key_pair::{authorized_keys, generate, read_public};

/// The public half of the host key, as `known_hosts` writes it.
pub(super) struct HostKey(pub(super) String);

/// Makes the client's and the host's key, and the file that lets the one in, and `others`.
pub(super) async fn make(tools: &Tools, dirs: &LeaseDirs, others: &[AuthorizedKey]) -> Result<HostKey> {
    let (client, host) = (dirs.client_key(), dirs.sshd().join("host_key"));
    tokio::try_join!(generate(&tools.ssh_keygen, &client), generate(&tools.ssh_keygen, &host))?;
    let client_public = read_public(&client).await?;
    write(&dirs.sshd().join("authorized_keys"), &authorized_keys(&client_public, others)).await?;
    Ok(HostKey(read_public(&host).await?))
}

/// Writes the files `sshd` starts from: its configuration for `port`, and the account database its runner sees.
pub(super) async fn write_sshd_files(dirs: &LeaseDirs, port: u16) -> Result<()> {
    let sshd = dirs.sshd();
    write(&sshd.join("sshd_config"), &sshd_config(dirs, port)).await?;
    let passwd = tokio::fs::read_to_string("/etc/passwd").await.unwrap_or_default();
    write(&sshd.join("passwd"), &runner_passwd(&passwd, &dirs.home())).await?;
    // `*`: no password fits, yet the account is not locked as a leading `!` would have it.
    write(&sshd.join("shadow"), "root:*:::::::\n").await
}

async fn write(file: &Path, text: &str) -> Result<()> {
    tokio::fs::write(file, text).await.context(ErrorKind::State, || format!("cannot write `{}`", file.display()))
}

/// Loopback only, the lease's key only, nothing but commands. The runtime directory's name was checked to be plain.
fn sshd_config(dirs: &LeaseDirs, port: u16) -> String {
    let sshd = dirs.sshd();
    let file = |name: &str| sshd.join(name).display().to_string();
    let mut text = String::new();
    for (keyword, value) in [
        ("Port", port.to_string()),
        ("AddressFamily", "inet".to_owned()),
        ("ListenAddress", "127.0.0.1".to_owned()),
        ("HostKey", file("host_key")),
        ("AuthorizedKeysFile", file("authorized_keys")),
        ("PidFile", file("sshd.pid")),
        ("AllowUsers", "root".to_owned()),
        ("PermitRootLogin", "prohibit-password".to_owned()),
        ("AuthenticationMethods", "publickey".to_owned()),
        ("PasswordAuthentication", "no".to_owned()),
        ("KbdInteractiveAuthentication", "no".to_owned()),
        ("UsePAM", "no".to_owned()),
        // The directories above are checked by us; sshd would refuse a runtime directory below /tmp.
        ("StrictModes", "no".to_owned()),
        // sshd forwards no socket either where it says `no` here. The one port is no way in or out: only the caller could ask for it.
        ("AllowTcpForwarding", "remote".to_owned()),
        ("PermitListen", "127.0.0.1:1".to_owned()),
        ("AllowAgentForwarding", "no".to_owned()),
        ("X11Forwarding", "no".to_owned()),
        ("PermitTunnel", "no".to_owned()),
        // The caller's agents, as sockets of the lease's own.
        ("AllowStreamLocalForwarding", "remote".to_owned()),
        ("StreamLocalBindUnlink", "yes".to_owned()),
        ("PermitTTY", "yes".to_owned()),
        ("PermitUserRC", "no".to_owned()),
        ("PermitUserEnvironment", "no".to_owned()),
        ("PrintMotd", "no".to_owned()),
        ("PrintLastLog", "no".to_owned()),
        ("UseDNS", "no".to_owned()),
        // The loopback needs neither a post-quantum exchange (0.1 s a connection) nor a cipher without hardware support.
        ("KexAlgorithms", "curve25519-sha256".to_owned()),
        ("Ciphers", "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com".to_owned()),
        ("LoginGraceTime", "20".to_owned()),
        ("MaxSessions", "64".to_owned()),
        ("LogLevel", "INFO".to_owned()),
        // One directive: the first of several is the one that counts.
        ("SetEnv", set_env(dirs)),
    ] {
        let _ = writeln!(text, "{keyword} {value}");
    }
    text
}

/// A home without files of the user's, so that neither a shell nor `buildctl` reads them.
fn set_env(dirs: &LeaseDirs) -> String {
    format!(
        "HOME={} PATH={}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        dirs.home().display(),
        dirs.bin().display()
    )
}

/// The machine's accounts with root's replaced: a plain shell and a private, empty home.
fn runner_passwd(machine: &str, home: &Path) -> String {
    let mut text = format!("root:x:0:0:root:{}:/bin/sh\n", home.display());
    for line in machine.lines().filter(|line| !line.starts_with("root:") && !line.is_empty()) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_root_has_a_private_home_and_a_plain_shell() {
        let text =
            runner_passwd("root:x:0:0::/root:/usr/bin/fish\nsshd:x:100:65534::/run/sshd:/bin/false\n", Path::new("/h"));
        assert_eq!(text, "root:x:0:0:root:/h:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n");
    }

    #[test]
    fn sshd_listens_on_loopback_and_forwards_nothing_but_sockets_of_the_caller() {
        let dirs = LeaseDirs { runtime: "/run/x/lb-1".into(), data: "/d".into() };
        let text = sshd_config(&dirs, 4022);
        for line in [
            "Port 4022",
            "ListenAddress 127.0.0.1",
            "AllowTcpForwarding remote",
            "PermitListen 127.0.0.1:1",
            "AllowAgentForwarding no",
            "X11Forwarding no",
            "PermitTunnel no",
            "AllowStreamLocalForwarding remote",
            "PasswordAuthentication no",
            "UsePAM no",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
        assert!(!text.contains("Subsystem"));
    }
}
