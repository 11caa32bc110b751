//! [`UserData`]: the cloud-init document that makes a runner of a stock Debian 12 machine at its first boot.

use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::runner_image::{FILES, RECIPE_DIRECTORY};

/// What the first boot runs.
pub(super) const BOOT: &str = include_str!("boot.sh");

/// Where it is on the machine.
pub(super) const BOOT_PATH: &str = "/usr/lib/lian-build/boot";

/// The longest document that clouds take, in bytes.
const MAX_BYTES: usize = 32 << 10;

/// A host key that was made for one lease. No machine that the caller did not start has it.
#[derive(Clone)]
pub struct HostKey {
    /// The private half, as `ssh-keygen` writes it.
    pub private: SecretString,
    /// The public half, as `known_hosts` writes it: `ssh-ed25519 AAAA…`.
    pub public: String,
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// What the first boot of a runner is given. No credential of the provider, no login and no private key of the caller is in
/// it: whatever runs on the machine may be able to read it.
#[derive(Debug, Clone)]
pub struct UserData {
    /// The lease: the machine's name.
    pub lease: LeaseId,
    /// The key by which the machine is known.
    pub host_key: HostKey,
    /// The public keys that may log in, one line each; nobody else may.
    pub client_keys: Vec<String>,
    /// When the machine powers itself off, whatever else is said.
    pub hard_deadline: Timestamp,
    /// When it does so unless it was told a later time; `None` for a machine that may be left standing.
    pub expires_at: Option<Timestamp>,
    /// What all build steps together may use, in bytes.
    pub build_memory_bytes: u64,
}

impl UserData {
    /// The document: `#cloud-config`, and JSON, which is YAML.
    ///
    /// # Errors
    /// [`ErrorKind::Provider`] when a key cannot stand in it, or it is longer than clouds take.
    pub fn render(&self) -> Result<SecretString> {
        for key in std::iter::once(&self.host_key.public).chain(&self.client_keys) {
            if key.is_empty() || key.contains(['\n', '\r', '\0']) {
                return Err(Error::new(ErrorKind::Provider, "an SSH key of the lease is not one line"));
            }
        }
        let text = format!("#cloud-config\n{}\n", self.document());
        if text.len() > MAX_BYTES {
            return Err(Error::new(
                ErrorKind::Provider,
                format!("the user data has {} bytes, and clouds take {MAX_BYTES}", text.len()),
            ));
        }
        Ok(text.into())
    }

    fn document(&self) -> Value {
        let private = self.host_key.private.expose_secret();
        json!({
            "hostname": self.lease.as_str(),
            // Before sshd starts: it lets nobody in whose password is locked, as root's is on a stock image.
            "bootcmd": [["usermod", "-p", "*", "root"]],
            "ssh_deletekeys": true,
            "ssh_keys": { "ed25519_private": private, "ed25519_public": self.host_key.public },
            "ssh_pwauth": false,
            "disable_root": false,
            "ssh_authorized_keys": self.client_keys,
            // The boot's own script installs what is missing, and nothing where all is there.
            "package_update": false,
            "package_upgrade": false,
            "write_files": self.files(),
            "runcmd": [["sh", BOOT_PATH]],
        })
    }

    /// The files, which are there before sshd starts: it never answers with another key or configuration.
    fn files(&self) -> Vec<Value> {
        let file = |path: &str, mode: u32, content: &str| json!({ "path": path, "owner": "root:root", "permissions": format!("{mode:04o}"), "content": content });
        let line = |text: &str| format!("{text}\n");
        let seconds = |at: Timestamp| line(&at.as_second().to_string());
        let mut files = vec![
            file("/etc/ssh/lian_host_ed25519_key", 0o600, self.host_key.private.expose_secret()),
            file("/etc/ssh/lian_host_ed25519_key.pub", 0o644, &line(&self.host_key.public)),
            file("/etc/lian-build/authorized_keys", 0o600, &line(&self.client_keys.join("\n"))),
            file("/etc/lian-build/lease", 0o644, &line(self.lease.as_str())),
            file("/etc/lian-build/hard-deadline", 0o644, &seconds(self.hard_deadline)),
            file("/etc/lian-build/build-memory", 0o644, &line(&self.build_memory_bytes.to_string())),
        ];
        files.extend(self.expires_at.map(|at| file("/var/lib/lian-build/expires", 0o644, &seconds(at))));
        for recipe in FILES {
            files.push(file(&format!("/{RECIPE_DIRECTORY}/{}", recipe.name), recipe.mode, recipe.text));
            if recipe.name == "sshd.conf" {
                files.push(file("/etc/ssh/sshd_config.d/00-lian-build.conf", 0o644, recipe.text));
            }
        }
        files.push(file(BOOT_PATH, 0o755, BOOT));
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user_data() -> UserData {
        let at = |second| Timestamp::from_second(second).unwrap();
        UserData {
            lease: LeaseId::new(),
            host_key: HostKey {
                private: "-----BEGIN OPENSSH PRIVATE KEY-----\nhidden\n-----END OPENSSH PRIVATE KEY-----\n".into(),
                public: "ssh-ed25519 AAAAhost".to_owned(),
            },
            client_keys: vec!["ssh-ed25519 AAAAclient".to_owned()],
            hard_deadline: at(2_000),
            expires_at: Some(at(1_000)),
            build_memory_bytes: 4 << 30,
        }
    }

    fn document(user_data: &UserData) -> Value {
        let text = user_data.render().unwrap();
        serde_json::from_str(text.expose_secret().strip_prefix("#cloud-config\n").unwrap()).unwrap()
    }

    fn content<'a>(document: &'a Value, path: &str) -> Option<&'a str> {
        let files = document["write_files"].as_array().unwrap();
        files.iter().find(|file| file["path"] == path).map(|file| file["content"].as_str().unwrap())
    }

    #[test]
    fn the_first_boot_has_keys_deadlines_and_the_recipe() {
        let user_data = user_data();
        let document = document(&user_data);
        assert_eq!(document["ssh_keys"]["ed25519_public"], "ssh-ed25519 AAAAhost");
        assert_eq!((&document["ssh_deletekeys"], &document["ssh_pwauth"]), (&json!(true), &json!(false)));
        assert_eq!(document["ssh_authorized_keys"], json!(["ssh-ed25519 AAAAclient"]));
        assert_eq!(content(&document, "/etc/lian-build/hard-deadline"), Some("2000\n"));
        assert_eq!(content(&document, "/var/lib/lian-build/expires"), Some("1000\n"));
        assert_eq!(content(&document, "/etc/lian-build/lease"), Some(format!("{}\n", user_data.lease).as_str()));
        for recipe in FILES {
            assert_eq!(content(&document, &format!("/{RECIPE_DIRECTORY}/{}", recipe.name)), Some(recipe.text));
        }
        assert_eq!(document["runcmd"], json!([["sh", BOOT_PATH]]));
        assert_eq!(content(&document, BOOT_PATH), Some(BOOT));
        // Half of what clouds take, so that there is room to grow.
        assert!(user_data.render().unwrap().expose_secret().len() < 24 << 10);
    }

    #[test]
    fn a_machine_that_may_be_left_standing_has_its_hard_deadline_only() {
        let kept = UserData { expires_at: None, ..user_data() };
        let document = document(&kept);
        assert_eq!(content(&document, "/var/lib/lian-build/expires"), None);
        assert_eq!(content(&document, "/etc/lian-build/hard-deadline"), Some("2000\n"));
    }

    #[test]
    fn the_private_host_key_is_shown_to_nobody_else() {
        assert!(!format!("{:?}", user_data()).contains("hidden"));
    }

    #[test]
    fn a_key_brings_no_second_line() {
        for bad in ["", "ssh-ed25519 A\nssh-ed25519 B", "a\rb"] {
            let broken = UserData { client_keys: vec![bad.to_owned()], ..user_data() };
            assert_eq!(broken.render().unwrap_err().kind(), ErrorKind::Provider, "{bad:?}");
        }
    }
}
