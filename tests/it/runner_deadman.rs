//! What ends a runner that is a machine: the unit that its timer starts once a minute.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const UNIT: &str = include_str!("../../runner/lian-deadman.service");
const DEADMAN: &str = include_str!("../../runner/deadman");

/// A machine whose files are in a directory, and whose `systemctl` only notes what it is asked for.
struct MachineOfItsOwn(TempDir);

impl MachineOfItsOwn {
    /// With a deadline that many seconds from now.
    fn new(hard_deadline: i64) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let machine = Self(tempfile::tempdir().unwrap());
        let root = machine.root().display();
        let deadman = ["etc", "var", "run"].iter().fold(DEADMAN.to_owned(), |text, top| {
            assert!(text.contains(&format!("=/{top}/")), "{text}");
            text.replace(&format!("=/{top}/"), &format!("={root}/{top}/"))
        });
        for (name, text) in [
            ("usr/lib/lian-build/deadman", deadman),
            ("bin/systemctl", format!("#!/bin/sh\necho \"$@\" >>{root}/asked\n")),
            ("etc/lian-build/hard-deadline", from_now(hard_deadline)),
        ] {
            let path = machine.root().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::create_dir(machine.root().join("run")).unwrap();
        machine
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn renewed(&self, expires: i64) {
        let path = self.root().join("var/lib/lian-build/expires");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, from_now(expires)).unwrap();
    }

    /// The timer goes off; yields what the machine was told to do.
    #[expect(clippy::disallowed_methods, reason = "stands for systemd")]
    fn tick(&self) -> String {
        for line in UNIT.lines().filter_map(|line| line.split_once('=').filter(|(key, _)| key.starts_with("ExecStart")))
        {
            let command = line.1.replace("/usr/lib/", &format!("{}/usr/lib/", self.root().display()));
            let path = format!("{}/bin:/usr/bin:/bin", self.root().display());
            let status = Command::new("sh").args(["-c", &command]).env("PATH", path).status().unwrap();
            assert!(status.success(), "{command}: {status}");
        }
        std::fs::read_to_string(self.root().join("asked")).unwrap_or_default()
    }
}

fn from_now(seconds: i64) -> String {
    format!("{}\n", jiff::Timestamp::now().as_second() + seconds)
}

#[test]
fn a_machine_that_is_renewed_lives_until_its_hard_deadline() {
    let machine = MachineOfItsOwn::new(3600);
    assert_eq!(machine.tick(), "", "nobody has renewed it yet");
    machine.renewed(600);
    assert_eq!(machine.tick(), "");
    let machine = MachineOfItsOwn::new(-1);
    machine.renewed(600);
    assert_eq!(machine.tick(), "poweroff\n");
}

#[test]
fn a_machine_that_was_suspended_gives_the_renewal_time_to_come() {
    let machine = MachineOfItsOwn::new(3600);
    // More than six minutes lie between eight ticks; then the renewal comes after all, and then another suspension.
    for expires in [-1000, -900] {
        machine.renewed(expires);
        for tick in 1..=7 {
            assert_eq!(machine.tick(), "", "tick {tick}");
        }
    }
    machine.renewed(600);
    assert_eq!(machine.tick(), "");
    machine.renewed(-900);
    for tick in 1..=7 {
        assert_eq!(machine.tick(), "", "tick {tick}");
    }
    assert_eq!(machine.tick(), "poweroff\n");
}
