//! `runners ssh`: into a runner, with its own key and nothing of the user's.

use std::io::Write as _;
use std::process::Stdio;

use lian_build::ids::LeaseId;

use crate::support::{HeldBuild, Sandbox};

#[test]
fn a_command_runs_on_the_runner_with_the_users_streams() {
    let sandbox = Sandbox::on_own_machine();
    let build = HeldBuild::start(&sandbox);
    let lease = build.lease().to_owned();
    // An argument stays one, whatever is in it.
    let said = sandbox.beside(["runners", "ssh", &lease, "--", "printf", "%s|", "a b", "$HOME", "'"]);
    assert_eq!(said.assert_code(0).stdout, "a b|$HOME|'|", "{}", said.stderr);
    let script = format!("cat; test -d '{}' && exit 3", "/proc/self");
    let mut command = sandbox.command();
    command.args(["runners", "ssh", &lease, "--", "sh", "-c", &script]).stdin(Stdio::piped());
    let mut running = sandbox.start(&mut command);
    running.child.stdin.take().unwrap().write_all(b"from here").unwrap();
    let said = running.wait_unchecked();
    assert_eq!(said.assert_code(3).stdout, "from here");
    // Without a command it is a shell.
    let mut command = sandbox.command();
    command.args(["runners", "ssh", &lease]).stdin(Stdio::piped());
    let mut running = sandbox.start(&mut command);
    running.child.stdin.take().unwrap().write_all(b"echo $((6 * 7))\nexit 4\n").unwrap();
    let said = running.wait_unchecked();
    assert!(said.assert_code(4).stdout.contains("42"), "{}", said.stdout);
    // The build did not notice.
    build.finish().assert_code(0);

    let gone = sandbox.run(["runners", "ssh", &lease, "--", "true"]);
    assert_eq!(gone.assert_code(5).stdout, "");
    assert!(gone.stderr.contains("is gone"), "{}", gone.stderr);
}

#[test]
fn a_person_at_a_terminal_gets_one_on_the_runner() {
    let sandbox = Sandbox::new();
    let books = || ["/run/utmp", "/var/log/wtmp", "/var/log/lastlog"].map(|book| std::fs::read(book).ok());
    let before = books();
    let build = HeldBuild::start(&sandbox);
    let shell = format!("{} runners ssh {}", env!("CARGO_BIN_EXE_lian-build"), build.lease());
    let mut running = sandbox.start(sandbox.on_terminal(&shell).stdin(Stdio::piped()));
    // Typed ahead. The answer is not what is typed, which a terminal shows too.
    running.child.stdin.as_mut().unwrap().write_all(b"test -t 0 && echo at-$((40 + 2))-terminal; exit 5\n").unwrap();
    let said = running.wait_unchecked();
    assert!(said.assert_code(5).stdout.contains("at-42-terminal"), "{}", said.stdout);
    assert!(books() == before, "the machine's own books have the visit");
    build.finish().assert_code(0);
}

#[test]
fn a_runner_that_is_not_there_is_named() {
    let sandbox = Sandbox::on_own_machine();
    let record = HeldBuild::start(&sandbox).kill_with_reaper();
    let dead = sandbox.beside(["runners", "ssh", record.labels.lease_id.as_str(), "--", "true"]);
    assert!(dead.assert_code(5).stderr.contains("runners gc"), "{}", dead.stderr);
    sandbox.run(["runners", "gc"]).assert_code(0);
    let unknown = sandbox.run(["runners", "ssh", "nothing-like-it"]);
    assert!(unknown.assert_code(2).stderr.contains("there is no runner `nothing-like-it`"), "{}", unknown.stderr);
    sandbox.run(["runners", "ssh", LeaseId::new().as_str()]).assert_code(5);
    assert_eq!(sandbox.run(["runners", "ssh"]).assert_code(2).stdout, "");
}
