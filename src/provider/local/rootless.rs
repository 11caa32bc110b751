//! Whether this machine lets an ordinary user have a runner, and if not, what is missing.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// The subordinate ids that an image's files need.
const IDS: u64 = 65_536;

/// Checks what `rootlesskit` needs besides its programs.
///
/// # Errors
/// [`ErrorKind::NoCapacity`] naming everything that is missing.
pub(super) fn check() -> Result<()> {
    let uid = rustix::process::getuid().as_raw();
    let user = user_name(&read("/etc/passwd"), uid);
    let missing = missing(user.as_deref(), uid, &|path| read(path));
    if missing.is_empty() {
        return Ok(());
    }
    let mut error =
        Error::new(ErrorKind::NoCapacity, format!("a runner without root cannot be had here: {}", missing.join("; ")));
    error = error.hint("run lian-build as root, or choose another provider");
    Err(error)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(path)).unwrap_or_default()
}

/// What is missing, in words.
fn missing(user: Option<&str>, uid: u32, read: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut missing = Vec::new();
    for file in ["/etc/subuid", "/etc/subgid"] {
        if subordinate_ids(&read(file), user, uid) < IDS {
            let name = user.map_or_else(|| uid.to_string(), str::to_owned);
            missing.push(format!("`{file}` gives `{name}` fewer than {IDS} ids"));
        }
    }
    for (file, closed, what) in [
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "user namespaces are for root only"),
        ("/proc/sys/user/max_user_namespaces", "0", "user namespaces are switched off"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor restricts user namespaces"),
    ] {
        if read(file).trim() == closed {
            missing.push(format!("{what} (`{file}` is {closed})"));
        }
    }
    missing
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>().ok()? == uid).then(|| name.to_owned())
    })
}

/// The sum of the ranges of this user, by name or number.
fn subordinate_ids(table: &str, user: Option<&str>, uid: u32) -> u64 {
    let uid = uid.to_string();
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let name = fields.next()?;
            let count = fields.nth(1)?.parse::<u64>().ok()?;
            (Some(name) == user || name == uid).then_some(count)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_by_name_and_by_number() {
        let table = "jpl:100000:65536\n1000:200000:10\nother:1:65536\n";
        assert_eq!(subordinate_ids(table, Some("jpl"), 1000), 65_546);
        assert_eq!(subordinate_ids(table, None, 7), 0);
    }

    #[test]
    fn each_thing_that_is_missing_is_named() {
        let machine = |path: &str| match path {
            "/etc/subuid" => "jpl:100000:65536\n".to_owned(),
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns" => "1\n".to_owned(),
            _ => String::new(),
        };
        let missing = missing(Some("jpl"), 1000, &machine);
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(missing[0].contains("/etc/subgid") && missing[1].contains("AppArmor"), "{missing:?}");
    }

    #[test]
    fn the_user_is_found_by_number() {
        assert_eq!(user_name("root:x:0:0::/root:/bin/sh\njpl:x:1000:1000::/h:/bin/sh\n", 1000).as_deref(), Some("jpl"));
        assert_eq!(user_name("broken\n", 1000), None);
    }
}
