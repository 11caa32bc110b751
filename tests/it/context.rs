//! The context: what is found, what is sent, what is refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use lian_build::error::{Error, ErrorKind};
use lian_build::inputs::context::{Context, EntryKind, Loaded, load, load_named};
use tempfile::TempDir;

/// A context with a Dockerfile and these further files; a name that ends with a slash is a directory.
fn context_of(names: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["Dockerfile"].iter().chain(names) {
        let path = directory.path().join(name);
        if name.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
    }
    directory
}

fn load_it(directory: &TempDir) -> Loaded {
    load(directory.path(), None).unwrap()
}

fn paths(context: &Context) -> Vec<&str> {
    context.entries().iter().map(|entry| entry.path.to_str().unwrap()).collect()
}

/// The refusal of a context: always exit 2.
#[track_caller]
fn refusal(result: Result<Loaded, Error>) -> Error {
    let error = result.expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    error
}

#[track_caller]
fn assert_says(error: &Error, parts: &[&str]) {
    let text = format!("{error}\n{}", error.hints().join("\n"));
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

#[test]
fn a_context_that_is_not_there_or_no_directory_is_refused() {
    let directory = context_of(&[]);
    let missing = directory.path().join("nothing");
    assert_says(&refusal(load(&missing, None)), &["nothing", "does not exist"]);
    assert_says(&refusal(load(&directory.path().join("Dockerfile"), None)), &["Dockerfile", "not a directory"]);
}

#[test]
fn everything_is_sent_parents_first_with_empty_directories_and_links_as_links() {
    let directory = context_of(&["a/b/c", "a-x", "empty/", ".git/HEAD"]);
    symlink("/etc/passwd", directory.path().join("out")).unwrap();
    symlink("a", directory.path().join("in")).unwrap();
    let context = load_it(&directory).context;
    assert_eq!(paths(&context), [".git", ".git/HEAD", "Dockerfile", "a", "a/b", "a/b/c", "a-x", "empty", "in", "out"]);
    let totals = context.totals();
    assert_eq!((totals.files, totals.directories, totals.symlinks), (4, 4, 2));
    assert_eq!(totals.bytes, (".git/HEAD".len() + "Dockerfile".len() + "a/b/c".len() + "a-x".len()) as u64);
}

#[test]
fn parents_of_what_is_sent_after_all_are_sent_too() {
    let directory = context_of(&["a/b/c", "a/b/d", "e/f"]);
    std::fs::write(directory.path().join(".dockerignore"), "*\n!a/b/c\n").unwrap();
    let context = load_it(&directory).context;
    assert_eq!(paths(&context), ["a", "a/b", "a/b/c"]);
    assert_eq!(context.entries()[0].kind, EntryKind::Directory);
    assert_eq!(context.totals().directories, 2);
}

#[test]
fn the_ignore_file_beside_the_dockerfile_wins_even_when_it_is_empty() {
    let directory = context_of(&["a", "b"]);
    std::fs::write(directory.path().join(".dockerignore"), "a\n").unwrap();
    assert!(!load_it(&directory).context.has_root_file("a"));
    std::fs::write(directory.path().join("Dockerfile.dockerignore"), "").unwrap();
    let loaded = load_it(&directory);
    assert!(loaded.context.has_root_file("a") && loaded.context.has_root_file("b"));
    assert_eq!(loaded.context.ignore().unwrap().path, directory.path().join("Dockerfile.dockerignore"));
    assert!(!load_named(directory.path()).unwrap().has_root_file("a"), "an extra context has no Dockerfile");
}

#[test]
fn a_dockerfile_elsewhere_brings_its_own_ignore_file() {
    let directory = context_of(&["a", "b"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("app.Dockerfile");
    std::fs::write(&file, "FROM scratch\n").unwrap();
    std::fs::write(elsewhere.path().join("app.Dockerfile.dockerignore"), "b\n").unwrap();
    let loaded = load(directory.path(), Some(&file)).unwrap();
    assert_eq!(loaded.dockerfile.unwrap().bytes, b"FROM scratch\n");
    assert_eq!(paths(&loaded.context), ["Dockerfile", "a"]);
}

#[test]
fn the_dockerfile_is_read_though_it_is_ignored() {
    let directory = context_of(&["a"]);
    std::fs::write(directory.path().join(".dockerignore"), "Dockerfile\n.dockerignore\n").unwrap();
    let loaded = load_it(&directory);
    assert_eq!(paths(&loaded.context), ["a"]);
    assert_eq!(loaded.dockerfile.unwrap().bytes, b"Dockerfile");
    assert_eq!(loaded.context.ignore().unwrap().bytes, b"Dockerfile\n.dockerignore\n");
}

#[test]
fn a_lower_case_dockerfile_is_found_and_none_is_no_error() {
    let directory = context_of(&["dockerfile"]);
    std::fs::remove_file(directory.path().join("Dockerfile")).unwrap();
    assert_eq!(load_it(&directory).dockerfile.unwrap().bytes, b"dockerfile");
    std::fs::remove_file(directory.path().join("dockerfile")).unwrap();
    assert_eq!(load_it(&directory).dockerfile, None);
}

#[test]
fn a_named_dockerfile_that_is_missing_says_where_it_was_looked_for() {
    let directory = context_of(&["docker/Dockerfile"]);
    let error = refusal(load(directory.path(), Some(Path::new("docker/Dockerfile"))));
    let beside = directory.path().join("docker/Dockerfile");
    assert_says(&error, &["`docker/Dockerfile`", "relative to the current directory", beside.to_str().unwrap()]);
    assert_says(&refusal(load(directory.path(), Some(Path::new("-")))), &["standard input"]);
}

#[test]
fn a_link_that_leads_outside_is_refused_wherever_the_dockerfile_is_named() {
    let outside = context_of(&[]);
    let directory = context_of(&["docker/"]);
    let link = directory.path().join("Dockerfile");
    std::fs::remove_file(&link).unwrap();
    symlink(outside.path().join("Dockerfile"), &link).unwrap();
    assert_says(&refusal(load(directory.path(), None)), &["Dockerfile", "outside the context"]);
    assert_says(&refusal(load(directory.path(), Some(&link))), &["outside the context"]);
    // A directory that leads outside is no way around it.
    symlink(outside.path(), directory.path().join("far")).unwrap();
    let far = directory.path().join("far/Dockerfile");
    assert_says(&refusal(load(directory.path(), Some(&far))), &["outside the context"]);
}

#[test]
fn links_inside_and_a_linked_context_are_fine() {
    let directory = context_of(&["docker/real"]);
    let link = directory.path().join("Dockerfile");
    std::fs::remove_file(&link).unwrap();
    symlink("docker/real", &link).unwrap();
    let other = tempfile::tempdir().unwrap();
    symlink(directory.path(), other.path().join("context")).unwrap();
    let loaded = load(&other.path().join("context"), None).unwrap();
    assert_eq!(loaded.dockerfile.unwrap().bytes, b"docker/real");
    assert_eq!(loaded.context.path(), directory.path().canonicalize().unwrap());
    let named = load(&other.path().join("context"), Some(&other.path().join("context/Dockerfile"))).unwrap();
    assert_eq!(named.dockerfile.unwrap().bytes, b"docker/real");
}

#[test]
fn an_ignore_file_that_leads_outside_is_refused() {
    let outside = context_of(&["patterns"]);
    let directory = context_of(&[]);
    symlink(outside.path().join("patterns"), directory.path().join(".dockerignore")).unwrap();
    assert_says(&refusal(load(directory.path(), None)), &[".dockerignore", "outside the context"]);
}

#[test]
fn a_dockerfile_that_is_no_file_or_too_large_is_refused() {
    let directory = context_of(&[]);
    let file = directory.path().join("Dockerfile");
    std::fs::File::options().write(true).open(&file).unwrap().set_len((16 << 20) + 1).unwrap();
    assert_says(&refusal(load(directory.path(), None)), &["Dockerfile", "larger than 16 MB"]);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_says(&refusal(load(directory.path(), None)), &["Dockerfile", "not a regular file"]);
}

#[test]
fn a_malformed_pattern_names_file_and_line() {
    let directory = context_of(&[]);
    std::fs::write(directory.path().join(".dockerignore"), "# fine\n*.txt\n[a-\n").unwrap();
    assert_says(&refusal(load(directory.path(), None)), &[".dockerignore`, line 3", "`[a-`", "malformed"]);
    std::fs::write(directory.path().join(".dockerignore"), "!\n").unwrap();
    assert_says(&refusal(load(directory.path(), None)), &["line 1"]);
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
}

#[test]
fn a_fifo_and_a_socket_are_refused_by_name_unless_they_are_ignored() {
    let directory = context_of(&["run/"]);
    make_fifo(&directory.path().join("run/pipe"));
    assert_says(&refusal(load(directory.path(), None)), &["`run/pipe`", "FIFO", ".dockerignore"]);
    std::fs::write(directory.path().join("Dockerfile.dockerignore"), "run/pipe\n").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("run/socket")).unwrap();
    assert_says(&refusal(load(directory.path(), None)), &["`run/socket`", "a socket", "Dockerfile.dockerignore"]);
    std::fs::write(directory.path().join("Dockerfile.dockerignore"), "run/*\n").unwrap();
    assert_eq!(paths(&load_it(&directory).context), ["Dockerfile", "Dockerfile.dockerignore", "run"]);
}

/// Runs `action` as a user who owns nothing here. Root may read everything, so as root a thread gives its rights up.
fn as_nobody<T: Send>(action: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                if rustix::process::geteuid().is_root() {
                    let nobody = rustix::process::Uid::from_raw(65_534);
                    rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
                }
                action()
            })
            .join()
            .unwrap()
    })
}

#[test]
fn what_cannot_be_read_is_refused_by_name_unless_it_is_ignored() {
    let directory = context_of(&["secret", "closed/file", "open"]);
    let mode = |name: &str, mode| {
        std::fs::set_permissions(directory.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("", 0o755);
    mode("secret", 0o000);
    let error = as_nobody(|| refusal(load(directory.path(), None)));
    assert_says(&error, &["`secret`", "cannot be read", "Permission denied", ".dockerignore"]);
    mode("secret", 0o644);
    mode("closed", 0o000);
    let error = as_nobody(|| refusal(load(directory.path(), None)));
    assert_says(&error, &["`closed`", "cannot be read"]);
    // Entered for the exception's sake, and then not readable: no loss, as in BuildKit.
    std::fs::write(directory.path().join(".dockerignore"), "closed\n!**/nothing\n").unwrap();
    let loaded = as_nobody(|| load(directory.path(), None).unwrap());
    assert_eq!(paths(&loaded.context), [".dockerignore", "Dockerfile", "open", "secret"]);
    mode("closed", 0o755);
}

#[test]
fn any_name_is_kept_byte_for_byte() {
    let directory = context_of(&[]);
    let names: [&[u8]; 6] = [b"a b", b"a\nb", b"caf\xe9", "日本".as_bytes(), b"-rf", b"!x"];
    for name in names {
        std::fs::write(directory.path().join(OsStr::from_bytes(name)), b"").unwrap();
    }
    let context = load_it(&directory).context;
    for name in names {
        assert!(context.entries().iter().any(|entry| entry.path.as_os_str().as_bytes() == name), "{name:?}");
    }
}

#[test]
fn hard_links_and_extended_attributes_are_noticed() {
    let directory = context_of(&["a"]);
    let traits = load_it(&directory).context.traits();
    assert!(!traits.hard_links && !traits.xattrs);
    std::fs::hard_link(directory.path().join("a"), directory.path().join("b")).unwrap();
    assert!(load_it(&directory).context.traits().hard_links);
}

#[test]
fn a_large_context_says_where_its_bytes_are() {
    let directory = context_of(&["target/debug/deps/x.rlib", "target/y", "src/main.rs", "data.bin"]);
    let size = |name: &str, bytes| {
        let file = std::fs::File::options().write(true).open(directory.path().join(name)).unwrap();
        file.set_len(bytes).unwrap();
    };
    assert_eq!(lian_build::inputs::context::large_context_warning(&load_it(&directory).context), None);
    size("target/debug/deps/x.rlib", 300 << 20);
    size("data.bin", 100 << 20);
    let context = load_it(&directory).context;
    let largest: Vec<PathBuf> = context.largest(2).into_iter().map(|share| share.path).collect();
    assert_eq!(largest, [Path::new("target/debug/deps"), Path::new("data.bin")]);
    let warning = lian_build::inputs::context::large_context_warning(&context).unwrap();
    assert!(warning.starts_with("the context holds 400 MB in 5 files"), "{warning}");
    assert!(warning.contains("300 MB  target/debug/deps/\n"), "{warning}");
    assert!(warning.contains(".dockerignore"), "{warning}");
}
