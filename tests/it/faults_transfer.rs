//! The context's transfer is cut short: it goes on where it was.

use std::path::PathBuf;

use crate::support::Sandbox;

/// Larger than what the slowed transfer has sent when it is cut, and without anything that compresses.
const BYTES: usize = 3 << 20;

/// A sandbox with a context of one large file, and a directory of programs in which the first `rsync` is cut by `cut` (a
/// shell command that sees the lease's directory in `$lease` and rsync's process in `$rsync`) in the middle of that file.
fn with_cut_transfer(cut: &str) -> (Sandbox, PathBuf, Vec<u8>) {
    let sandbox = Sandbox::new();
    let mut number = 1_u32;
    let mut next = || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        number.to_be_bytes()[0]
    };
    let large: Vec<u8> = (0..BYTES).map(|_| next()).collect();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY . /\n").write("first", "sent before").write("large", &large);
    let programs = sandbox.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let (root, mark) = (sandbox.path().display(), programs.join("cut"));
    let script = format!(
        r#"#!/bin/sh
mark='{mark}'
if [ -e "$mark" ]; then exec /usr/bin/rsync "$@"; fi
: >"$mark"
exec 3<&0
/usr/bin/rsync --bwlimit=200 "$@" <&3 &
rsync=$!
until [ "$(cat {root}/cache/lian-build/leases/*/context/large 2>/dev/null | wc -c)" -gt 65536 ]; do sleep 0.05; done
lease=$(ls -d {root}/cache/lian-build/leases/lb-*/)
lease=$(basename "$lease")
{cut}
wait "$rsync"
"#,
        mark = mark.display()
    );
    std::fs::write(programs.join("rsync"), script).unwrap();
    std::fs::set_permissions(programs.join("rsync"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (sandbox, programs, large)
}

fn arrives_whole(cut: &str) {
    let (sandbox, programs, large) = with_cut_transfer(cut);
    let dest = sandbox.path().join("result");
    let mut command = sandbox.command();
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()));
    command.arg("build").arg(sandbox.context()).args(["--progress=plain", "--format=json"]);
    command.arg(format!("--output=type=local,dest={}", dest.display()));
    let finished = sandbox.start(&mut command).wait();
    let envelope = finished.assert_code(0).envelope();
    assert!(programs.join("cut").exists(), "nothing was cut");
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1, "{envelope}");
    assert!(std::fs::read(dest.join("large")).unwrap() == large, "the file is not the one that was sent");
    assert_eq!(std::fs::read_to_string(dest.join("first")).unwrap(), "sent before");
}

#[test]
fn a_killed_rsync_goes_on() {
    arrives_whole("kill -9 \"$rsync\"");
}

#[test]
fn a_transfer_goes_on_over_another_connection() {
    arrives_whole("kill -9 $(pgrep -f \"ssh.*ControlMaster=yes.*$lease\")");
}

#[test]
fn a_transfer_goes_on_when_its_other_end_was_killed() {
    arrives_whole("kill -9 $(pgrep -f \"rsync --server.*$lease\")");
}
