//! The transfer with a real rsync. Its remote shell is a script that runs the other side on this machine, as a shell on
//! the runner would.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use lian_build::env_vars::Environment;
use lian_build::error::{Error, ErrorKind};
use lian_build::inputs::context::{Context, load_named};
use lian_build::remote::RemoteShell;
use lian_build::sync::{FileList, Statistics, SyncRequest, Transferred, file_list, sync};
use proptest::prelude::*;
use tempfile::TempDir;

/// Takes ssh's options and the host away and runs the rest as ssh does: joined, by a shell.
const LOCAL_SHELL: &str = r#"#!/bin/sh
while case $1 in -F|-S|-o|-p) true;; *) false;; esac; do shift 2; done
shift
exec sh -c "$*"
"#;

/// A context, a place for it, and a shell between them.
struct Bench {
    source: TempDir,
    runner: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { source: tempfile::tempdir().unwrap(), runner: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: impl AsRef<OsStr>, content: &[u8]) -> PathBuf {
        let path = self.source.path().join(name.as_ref());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn directory(&self, name: &str) -> PathBuf {
        let path = self.source.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn context(&self) -> Context {
        load_named(self.source.path()).unwrap()
    }

    /// Where the context arrives: a name that a shell would take apart.
    fn destination(&self) -> PathBuf {
        self.runner.path().join("it's $HOME; a (place)")
    }

    fn send(&self, context: &Context) -> Result<(Statistics, Vec<Transferred>), Error> {
        self.send_through(context, LOCAL_SHELL)
    }

    fn send_through(&self, context: &Context, script: &str) -> Result<(Statistics, Vec<Transferred>), Error> {
        let shell = shell(&self.runner.path().join("a shell's \"place\""), script);
        run(context, &file_list(context), &self.destination(), &shell)
    }
}

fn shell(directory: &Path, script: &str) -> RemoteShell {
    std::fs::create_dir_all(directory).unwrap();
    let ssh_program = directory.join("ssh");
    // Written once: a program that is being written cannot be started.
    if !ssh_program.exists() {
        std::fs::write(&ssh_program, script).unwrap();
        std::fs::set_permissions(&ssh_program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    RemoteShell {
        ssh_program,
        config_file: directory.join("config"),
        control_socket: directory.join("ctl"),
        host_alias: "lb-0".to_owned(),
    }
}

fn run(
    context: &Context,
    files: &FileList,
    destination: &Path,
    shell: &RemoteShell,
) -> Result<(Statistics, Vec<Transferred>), Error> {
    let rsync = Environment::from_process().find_program("rsync").expect("rsync is installed");
    let request = SyncRequest {
        source: context.path(),
        files,
        traits: context.traits(),
        destination: destination.to_str().unwrap(),
        shell,
        rsync_program: &rsync,
    };
    let mut progress = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let statistics = runtime.block_on(sync(request, |transferred| progress.push(transferred)))?;
    Ok((statistics, progress))
}

/// Everything of a tree that an image can show: type, mode, time, content or target.
fn snapshot(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.unwrap();
        let metadata = entry.path().symlink_metadata().unwrap();
        let content = match (metadata.is_file(), metadata.is_symlink()) {
            (true, _) => format!("{:?}", std::fs::read(entry.path()).unwrap()),
            (_, true) => format!("-> {:?}", std::fs::read_link(entry.path()).unwrap()),
            _ => "directory".to_owned(),
        };
        let what = format!("{:o} {}.{:09} {content}", metadata.mode(), metadata.mtime(), metadata.mtime_nsec());
        let name = entry.path().strip_prefix(root).unwrap().as_os_str().as_bytes().to_owned();
        found.insert(name, what);
    }
    found
}

/// What should have arrived: the source's snapshot of the names that the walk found.
fn expected(context: &Context) -> BTreeMap<Vec<u8>, String> {
    let mut all = snapshot(context.path());
    let kept = context.entries().iter().map(|entry| entry.path.as_os_str().as_bytes().to_owned());
    kept.map(|name| all.remove_entry(&name).expect("it is in the source")).collect()
}

#[test]
fn odd_names_links_modes_times_and_empty_directories_survive() {
    let bench = Bench::new();
    let names: [&[u8]; 10] =
        [b"a b", b"a\nb", b"caf\xe9/x", "日本/語".as_bytes(), b"-rf", b"--", b"#x", b";x", b"[a]*?\\", b" lead trail "];
    for name in names {
        bench.file(OsStr::from_bytes(name), name);
    }
    bench.directory("empty/inner");
    symlink("a b", bench.source.path().join("link")).unwrap();
    symlink("/nowhere/else", bench.source.path().join("dangling")).unwrap();
    symlink("empty", bench.source.path().join("link to a directory")).unwrap();
    for (name, mode) in [("script", 0o755), ("private", 0o600), ("setuid", 0o4755), ("none", 0o400)] {
        let path = bench.file(name, b"x");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let closed = bench.file("closed/file", b"x");
    std::fs::set_permissions(closed.parent().unwrap(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let context = bench.context();
    bench.send(&context).unwrap();
    assert_eq!(snapshot(&bench.destination()), expected(&context));
    std::fs::set_permissions(closed.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let arrived = bench.destination().join("closed");
    std::fs::set_permissions(arrived, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn exactly_what_is_not_ignored_arrives() {
    for (ignore, recursive) in [
        ("", true),
        ("a\n", true),
        ("a/b\n", true),
        ("**/d.o\n", true),
        ("**/*.o\n", false),
        ("*\n!a/b/c.o\n", true),
        ("a/b/*\n", false),
        ("*\n!a\na/*\n!d/e/f\n", false),
        ("a/b/*\n!a/b/c.o\n", true),
    ] {
        let bench = Bench::new();
        for name in ["a/b/c.o", "a/b/d.o", "a/x", "a.b/y", "d/e/f", "d/e/g", "z.o"] {
            bench.file(name, name.as_bytes());
        }
        bench.directory("a/empty");
        let path = bench.directory("a/b");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o751)).unwrap();
        bench.file(".dockerignore", ignore.as_bytes());
        let context = bench.context();
        assert_eq!(file_list(&context).recursive, recursive, "{ignore:?}");
        bench.send(&context).unwrap();
        assert_eq!(snapshot(&bench.destination()), expected(&context), "{ignore:?}");
    }
}

#[test]
fn nothing_at_all_is_no_error() {
    let bench = Bench::new();
    let (statistics, _) = bench.send(&bench.context()).unwrap();
    assert_eq!(statistics.files, 0);
}

#[test]
fn hard_links_and_extended_attributes_survive() {
    let bench = Bench::new();
    let one = bench.file("one", b"same");
    std::fs::hard_link(&one, bench.source.path().join("two")).unwrap();
    // Not every file system takes attributes; where it does they have to arrive.
    let attribute = rustix::fs::setxattr(&one, "user.note", b"kept", rustix::fs::XattrFlags::empty());
    let context = bench.context();
    assert!(context.traits().hard_links);
    assert_eq!(context.traits().xattrs, attribute.is_ok());
    bench.send(&context).unwrap();
    let arrived = ["one", "two"].map(|name| bench.destination().join(name));
    assert_eq!(arrived[0].metadata().unwrap().ino(), arrived[1].metadata().unwrap().ino());
    if attribute.is_ok() {
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(&arrived[0], "user.note", &mut value).unwrap();
        assert_eq!(&value[..length], b"kept");
    }
}

#[test]
fn bytes_and_files_are_counted_and_progress_is_told() {
    let bench = Bench::new();
    bench.file("a", &vec![1; 300_000]);
    bench.file("d/b", &vec![2; 200_000]);
    let (statistics, progress) = bench.send(&bench.context()).unwrap();
    assert_eq!((statistics.files, statistics.file_bytes), (2, 500_000));
    assert!(statistics.bytes_sent > 500_000, "{statistics:?}");
    assert_eq!(progress.last(), Some(&Transferred { bytes: 500_000, files: 2 }));
}

#[test]
fn a_file_that_vanished_is_the_contexts_fault() {
    let bench = Bench::new();
    let gone = bench.file("gone", b"x");
    std::fs::write(bench.source.path().join("stays"), b"x").unwrap();
    let context = bench.context();
    std::fs::remove_file(gone).unwrap();
    let error = bench.send(&context).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("changed") && error.message().contains("gone"), "{error}");
}

#[test]
fn a_runner_that_cannot_be_written_is_the_runners_fault() {
    let bench = Bench::new();
    bench.file("a", b"x");
    std::fs::write(bench.destination(), "in the way").unwrap();
    let error = bench.send(&bench.context()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runner, "{error}");
}

#[test]
fn a_connection_that_fails_says_what_ssh_said() {
    let bench = Bench::new();
    bench.file("a", b"x");
    let error =
        bench.send_through(&bench.context(), "#!/bin/sh\necho 'Connection refused' >&2\nexit 255\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runner);
    assert!(error.message().contains("Connection refused"), "{error}");
    let other = Bench::new();
    other.file("a", b"x");
    let error = other.send_through(&other.context(), "#!/bin/sh\necho 'rsync: not found' >&2\nexit 127\n").unwrap_err();
    assert!(error.message().contains("rsync: not found"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_part_of_the_remote_shell_arrives_as_it_is(
        config in "[ -~é\n\t]{1,40}",
        socket in r#"[ '"\\$*a]{1,20}"#,
    ) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), b"x").unwrap();
        let context = load_named(directory.path()).unwrap();
        let place = tempfile::tempdir().unwrap();
        let shell = RemoteShell {
            config_file: PathBuf::from(&config),
            control_socket: PathBuf::from(&socket),
            ..shell(place.path(), "#!/bin/sh\nprintf '%s\\0' \"$@\" > \"${0%/*}/argv\"\nexit 255\n")
        };
        prop_assert!(run(&context, &file_list(&context), Path::new("/d"), &shell).is_err());
        let argv = std::fs::read(place.path().join("argv")).unwrap();
        let argv: Vec<&[u8]> = argv.split(|&byte| byte == 0).collect();
        prop_assert_eq!(
            &argv[..9],
            &[b"-F", config.as_bytes(), b"-S", socket.as_bytes(), b"-o", b"ControlMaster=no", b"-p", b"9", b"lb-0"]
        );
    }
}
