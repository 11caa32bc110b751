//! Results from a hostile runner: nothing outside the destination changes, and nothing within it leads out.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use lian_build::error::{Error, ErrorKind};
use lian_build::solve::unpack::{IncomingDirectory, IncomingFile, Limits, Unpacked};
use proptest::prelude::*;

use crate::support::tarball::Tarball;

/// A directory with a file and a directory that must not change, and a destination that does not exist yet.
struct Sandbox {
    root: tempfile::TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Sandbox {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("victim"), "precious").unwrap();
        fs::create_dir(root.path().join("outside")).unwrap();
        let before = snapshot(root.path());
        Self { root, before }
    }

    fn dest(&self) -> PathBuf {
        self.root.path().join("dest")
    }

    fn unpack(&self, archive: &[u8]) -> Result<Unpacked, Error> {
        self.unpack_within(archive, &Limits::default())
    }

    fn unpack_within(&self, archive: &[u8], limits: &Limits) -> Result<Unpacked, Error> {
        IncomingDirectory::receive(archive, &self.dest(), limits).and_then(IncomingDirectory::commit)
    }

    /// Nothing but the destination is new or changed, no temporary directory is left, and what is within stays within.
    fn assert_sound(&self) {
        let mut after = snapshot(self.root.path());
        after.retain(|path, _| !path.starts_with(self.dest()));
        assert_eq!(after, self.before);
        for path in snapshot(&self.dest()).keys() {
            let metadata = path.symlink_metadata().unwrap();
            let kind = metadata.file_type();
            assert!(kind.is_file() || kind.is_dir() || kind.is_symlink(), "{path:?} is {kind:?}");
            if kind.is_symlink() {
                // A dangling or endless link leads nowhere.
                let resolved = path.canonicalize().unwrap_or_else(|_| self.dest());
                assert!(resolved.starts_with(self.dest()), "{path:?} leads to {resolved:?}");
            } else {
                assert_eq!(metadata.mode() & 0o7000, 0, "{path:?}");
            }
        }
    }
}

/// Every entry below `root` with its kind, mode, links and content.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    walkdir::WalkDir::new(root)
        .min_depth(1)
        .into_iter()
        .filter_map(Result::ok)
        .map(|entry| {
            let metadata = entry.path().symlink_metadata().unwrap();
            let content = if metadata.is_file() { fs::read(entry.path()).unwrap_or_default() } else { Vec::new() };
            let links = if metadata.is_file() { metadata.nlink() } else { 0 };
            (entry.path().to_owned(), format!("{:o} {links} {content:?}", metadata.mode()))
        })
        .collect()
}

/// The result is refused for the given reason, whole: the destination does not come to be.
#[track_caller]
fn assert_refused(archive: &[u8], words: &str) {
    let sandbox = Sandbox::new();
    let error = sandbox.unpack(archive).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(error.kind(), ErrorKind::Build, "{error}");
    sandbox.assert_sound();
    assert!(!sandbox.dest().exists());
}

#[test]
fn files_directories_and_links_arrive_with_modes_and_times() {
    let sandbox = Sandbox::new();
    let long = format!("deep/{}", "n".repeat(180));
    let archive = Tarball::default()
        .raw(b'5', b"ro/", b"", 0o555, b"")
        .file("ro/a b\n", b"hello")
        .raw(b'0', b"bin/tool", b"", 0o755, b"#!")
        .symlink("bin/up", "../ro/a b\n")
        .symlink("dangling", "nowhere")
        .hard_link("bin/twin", "bin/tool")
        .directory("empty/")
        .pax("path", long.as_bytes())
        .file("short", b"long")
        .raw(b'L', b"././@LongLink", b"", 0o644, b"gnu-name\0")
        .file("short", b"gnu")
        .pax("path", b"\xff\xfe")
        .file("bytes", b"")
        .end();
    let unpacked = sandbox.unpack(&archive).unwrap();
    assert_eq!((unpacked.entries, unpacked.bytes, unpacked.stripped), (12, 14, 0));
    let at = |path: &str| sandbox.dest().join(path);
    assert_eq!(fs::read(at("bin/up")).unwrap(), b"hello");
    assert_eq!(fs::read(at(&long)).unwrap(), b"long");
    assert_eq!(fs::read(at("gnu-name")).unwrap(), b"gnu");
    assert_eq!(at("bin/tool").metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(at("bin/tool").metadata().unwrap().mtime(), 1_600_000_000);
    assert_eq!(at("bin/tool").metadata().unwrap().ino(), at("bin/twin").metadata().unwrap().ino());
    assert_eq!(at("ro").metadata().unwrap().mode() & 0o7777, 0o755, "the owner keeps the right to delete");
    assert_eq!(at("ro").metadata().unwrap().mtime(), 1_600_000_000);
    assert_eq!(fs::read_link(at("dangling")).unwrap(), Path::new("nowhere"));
    assert!(at("empty").is_dir());
    sandbox.assert_sound();
}

#[test]
fn a_path_that_leads_out_is_refused() {
    for path in ["../victim", "a/../../victim", "..", "a/.."] {
        assert_refused(&Tarball::default().file(path, b"x").end(), "`..`");
        assert_refused(&Tarball::default().directory(path).end(), "`..`");
        assert_refused(&Tarball::default().pax("path", path.as_bytes()).file("good", b"x").end(), "`..`");
    }
    assert_refused(&Tarball::default().file("/tmp/lian-build-absolute", b"x").end(), "absolute");
    assert!(!Path::new("/tmp/lian-build-absolute").exists());
    assert_refused(&Tarball::default().pax("path", b"a\0b").file("good", b"x").end(), "NUL");
    assert_refused(&Tarball::default().file(".", b"x").end(), "root");
}

#[test]
fn devices_and_fifos_are_refused() {
    for (kind, word) in [(b'3', "character device"), (b'4', "block device"), (b'6', "FIFO"), (b'Z', "unknown kind")] {
        assert_refused(&Tarball::default().raw(kind, b"dev", b"", 0o666, b"").end(), word);
    }
}

#[test]
fn setuid_and_its_kin_are_dropped_and_counted() {
    let sandbox = Sandbox::new();
    let archive = Tarball::default()
        .raw(b'0', b"su", b"", 0o4755, b"")
        .raw(b'0', b"write", b"", 0o2755, b"")
        .raw(b'5', b"tmp/", b"", 0o1777, b"")
        .end();
    assert_eq!(sandbox.unpack(&archive).unwrap().stripped, 3);
    assert_eq!(sandbox.dest().join("su").metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(sandbox.dest().join("tmp").metadata().unwrap().mode() & 0o7777, 0o755);
    sandbox.assert_sound();
}

#[test]
fn links_that_lead_out_are_refused() {
    for target in ["../outside", "/etc", "a/../../outside"] {
        assert_refused(&Tarball::default().symlink("link", target).end(), "the link `link`");
    }
    assert_refused(&Tarball::default().pax("linkpath", b"../outside").symlink("link", "good").end(), "leads out");
    // Each step is within by its text; through the first link the second would be outside.
    let chain = Tarball::default().directory("a/b/").symlink("a/b/top", "../..").symlink("a/b/out", "top/../outside");
    assert_refused(&chain.end(), "`..` behind a name");
}

#[test]
fn nothing_is_written_through_a_link() {
    let through = Tarball::default().directory("real").symlink("link", "real").file("link/file", b"x").end();
    assert_refused(&through, "is no directory");
    let over = Tarball::default().file("real", b"x").symlink("link", "real").file("link", b"y").end();
    assert_refused(&over, "twice");
    assert_refused(&Tarball::default().symlink("l", "real").directory("l/").end(), "is no directory");
}

#[test]
fn a_path_that_stands_twice_is_refused_but_a_directory_may() {
    assert_refused(&Tarball::default().file("a", b"x").file("a", b"y").end(), "twice");
    assert_refused(&Tarball::default().file("a", b"x").symlink("./a", "b").end(), "twice");
    assert_refused(&Tarball::default().file("a", b"x").directory("a/").end(), "is no directory");
    let sandbox = Sandbox::new();
    sandbox.unpack(&Tarball::default().file("d/f", b"").directory("d/").directory("./").end()).unwrap();
    sandbox.assert_sound();
}

#[test]
fn hard_links_lead_only_to_files_of_the_result() {
    for target in ["../victim", "/etc/passwd"] {
        assert_refused(&Tarball::default().hard_link("twin", target).end(), "hard link");
    }
    assert_refused(&Tarball::default().hard_link("twin", "later").file("later", b"").end(), "no file in it");
    assert_refused(&Tarball::default().directory("d").hard_link("twin", "d").end(), "no file in it");
    assert_refused(&Tarball::default().symlink("l", "x").hard_link("twin", "l").end(), "no file in it");
    assert_refused(&Tarball::default().directory("d").symlink("l", "d").hard_link("t", "l/x").end(), "no directory");
}

#[test]
fn counts_and_bytes_are_bounded() {
    let limits = Limits { entries: 3, bytes: 10 };
    let fits = Tarball::default().file("a", b"01234").file("b/c", b"56789").end();
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.unpack_within(&fits, &limits).unwrap().entries, 3);
    let cases = [
        (Tarball::default().file("a", b"01234").file("b", b"567890").end(), "limit of 10 bytes"),
        // Refused by what it promises, before any of it is written.
        (Tarball::default().promise("a", 1 << 40).cut(), "limit of 10 bytes"),
        (Tarball::default().pax("size", b"99999999999").file("a", b"").end(), "limit of 10 bytes"),
        (Tarball::default().file("a/b/c/d", b"").end(), "3 entries"),
        ((0..4).fold(Tarball::default(), |tar, _| tar.directory("same")).end(), "3 entries"),
        (Tarball::default().pax("GNU.sparse.major", b"1").file("a", b"").end(), "sparse"),
        (Tarball::default().raw(b'S', b"a", b"", 0o644, b"").end(), "sparse"),
        (Tarball::default().raw(b'x', b"p", b"", 0o644, &vec![b'9'; (1 << 20) + 1]).end(), "too long"),
        ((0..9).fold(Tarball::default(), |tar, _| tar.pax("comment", b"x")).end(), "extended headers in a row"),
        (Tarball::default().raw(b'5', b"d", b"", 0o755, b"content").end(), "has content"),
        (Tarball::default().raw(b'g', b"pax", b"", 0o644, b"").end(), "global header"),
        (Tarball::default().file("a", b"").bytes(&[0; 1024]).bytes(&vec![1; 2 << 20]).end(), "behind the end"),
    ];
    for (archive, words) in cases {
        let sandbox = Sandbox::new();
        let error = sandbox.unpack_within(&archive, &limits).unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
        sandbox.assert_sound();
    }
}

#[test]
fn a_stream_that_breaks_off_is_no_result_wherever_it_ends() {
    let whole = Tarball::default().directory("d").pax("path", b"d/file").file("x", &[7; 700]).end();
    let sandbox = Sandbox::new();
    // The first of the two zero blocks is the end.
    for length in (0..whole.len() - 512).step_by(101).chain([1024, 2560, whole.len() - 1024]) {
        let error = sandbox.unpack(&whole[..length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Runner, "{length}: {error}");
        assert!(!sandbox.dest().exists());
    }
    sandbox.unpack(&whole).unwrap();
    sandbox.assert_sound();
}

#[test]
fn an_answer_that_is_no_archive_is_refused_and_not_taken_for_a_lost_runner() {
    let mut flipped = Tarball::default().file("a", b"x").end();
    flipped[0] ^= 1;
    for answer in [flipped, b"no archive ".repeat(512)] {
        let sandbox = Sandbox::new();
        let error = sandbox.unpack(&answer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Build, "{error}");
        assert!(error.to_string().contains("not a valid tar archive"), "{error}");
        sandbox.assert_sound();
    }
}

#[test]
fn an_existing_directory_is_merged_and_links_in_it_are_replaced_not_followed() {
    let sandbox = Sandbox::new();
    let at = |path: &str| sandbox.dest().join(path);
    fs::create_dir_all(at("both/kept")).unwrap();
    fs::write(at("both/old"), "old").unwrap();
    fs::write(at("mine"), "mine").unwrap();
    symlink(sandbox.root.path().join("victim"), at("link")).unwrap();
    let archive = Tarball::default().file("both/old", b"new").file("both/new/x", b"").file("link", b"file").end();
    sandbox.unpack(&archive).unwrap();
    assert_eq!(fs::read_to_string(at("both/old")).unwrap(), "new");
    assert_eq!(fs::read_to_string(at("mine")).unwrap(), "mine");
    assert!(at("both/kept").is_dir() && at("both/new/x").is_file());
    assert!(at("link").symlink_metadata().unwrap().is_file());
    sandbox.assert_sound();
    let left: Vec<_> = fs::read_dir(sandbox.dest()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn a_conflict_with_what_is_there_moves_nothing() {
    for (archive, there) in [
        (Tarball::default().file("a", b"new").file("z/f", b"").end(), "z"),
        (Tarball::default().file("a", b"new").file("d", b"").end(), "d/f"),
    ] {
        let sandbox = Sandbox::new();
        let place = sandbox.dest().join(there);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, "old").unwrap();
        let error = sandbox.unpack(&archive).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State, "{error}");
        assert!(!sandbox.dest().join("a").exists());
        assert_eq!(fs::read_to_string(&place).unwrap(), "old");
        sandbox.assert_sound();
    }
    // A link to a directory is not a directory: nothing is written behind it.
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.dest()).unwrap();
    symlink(sandbox.root.path().join("outside"), sandbox.dest().join("d")).unwrap();
    assert!(sandbox.unpack(&Tarball::default().file("d/f", b"").end()).is_err());
    assert_eq!(fs::read_dir(sandbox.root.path().join("outside")).unwrap().count(), 0);
}

#[test]
fn what_is_not_committed_leaves_no_trace() {
    let sandbox = Sandbox::new();
    let archive = Tarball::default().file("a", b"").end();
    drop(IncomingDirectory::receive(archive.as_slice(), &sandbox.dest(), &Limits::default()).unwrap());
    drop(IncomingFile::receive(&b"file"[..], &sandbox.dest(), &Limits::default()).unwrap());
    assert!(!sandbox.dest().exists());
    sandbox.assert_sound();
}

#[test]
fn a_file_replaces_what_was_there_only_when_it_is_committed() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.dest(), "old").unwrap();
    fs::set_permissions(sandbox.dest(), fs::Permissions::from_mode(0o640)).unwrap();
    let incoming = IncomingFile::receive(&b"new"[..], &sandbox.dest(), &Limits::default()).unwrap();
    assert_eq!(fs::read_to_string(sandbox.dest()).unwrap(), "old");
    assert_eq!(incoming.commit().unwrap(), 3);
    assert_eq!(fs::read_to_string(sandbox.dest()).unwrap(), "new");
    assert_eq!(sandbox.dest().metadata().unwrap().mode() & 0o777, 0o640);
    sandbox.assert_sound();
}

#[test]
fn an_endless_file_is_not_taken() {
    let sandbox = Sandbox::new();
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let error = IncomingFile::receive(std::io::repeat(7), &sandbox.dest(), &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Build, "{error}");
    let endless_zeros = std::io::repeat(0).take(1 << 30);
    assert!(IncomingDirectory::receive(endless_zeros, &sandbox.dest(), &limits).is_err());
    sandbox.assert_sound();
}

/// Names and targets that are likely to collide, and to lead out.
fn nasty() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "c", "..", ".", "", "victim", "outside"]);
    (any::<bool>(), prop::collection::vec(part, 1..5)).prop_map(|(absolute, parts)| {
        format!("{}{}", if absolute && parts.len() > 3 { "/" } else { "" }, parts.join("/"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_archive_leaves_everything_outside_alone(
        members in prop::collection::vec((prop::sample::select(b"00225511x6".to_vec()), nasty(), nasty(), any::<u16>()), 1..12),
        ended in any::<bool>(),
    ) {
        let sandbox = Sandbox::new();
        let archive = members.iter().fold(Tarball::default(), |tar, (kind, name, link, mode)| match kind {
            b'x' => tar.pax("path", name.as_bytes()).pax("linkpath", link.as_bytes()),
            b'0' => tar.raw(*kind, name.as_bytes(), b"", u32::from(*mode), b"x"),
            _ => tar.raw(*kind, name.as_bytes(), link.as_bytes(), u32::from(*mode), b""),
        });
        let archive = if ended { archive.end() } else { archive.cut() };
        let _ = sandbox.unpack(&archive);
        sandbox.assert_sound();
    }

    #[test]
    fn links_that_are_taken_never_lead_out(
        links in prop::collection::vec((nasty(), nasty()), 1..12),
    ) {
        // One result after the other into the same place: what is refused leaves the others as they are.
        let sandbox = Sandbox::new();
        for (name, target) in &links {
            let _ = sandbox.unpack(&Tarball::default().symlink(name, target).end());
        }
        sandbox.assert_sound();
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..4096), cut in 0_usize..4096, flip in any::<(u16, u8)>()) {
        let sandbox = Sandbox::new();
        let _ = sandbox.unpack(&bytes);
        let mut whole = Tarball::default().file("a", b"x").pax("path", b"b").symlink("l", "a").bytes(&bytes).end();
        whole.truncate(cut.max(512));
        let place = usize::from(flip.0) % whole.len();
        whole[place] ^= flip.1;
        let _ = sandbox.unpack(&whole);
        sandbox.assert_sound();
    }
}
