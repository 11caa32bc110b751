//! Specs and tiers files through the real child: what is read, what is refused, and what ends an evaluation.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use lian_build::error::{Error, ErrorKind};
use lian_build::inputs::nickel::{Contract, Document, Evaluated, Evaluator, Limits};
use lian_build::inputs::settings::{self, Settings};
use tempfile::TempDir;

fn evaluator() -> Evaluator {
    // Debug builds evaluate many times slower than the program that users get.
    let limits = Limits { cpu_seconds: 20, wall: Duration::from_secs(120), ..Limits::default() };
    Evaluator::of_program(env!("CARGO_BIN_EXE_lian-build")).limits(limits)
}

fn context(spec: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(".build-spec.ncl"), spec).unwrap();
    directory
}

async fn load(root: &Path) -> Result<Settings, Error> {
    settings::load_with(&evaluator(), root, None, &[]).await
}

/// The error of a context, which is always exit 2.
async fn refused(root: &Path) -> String {
    let error = load(root).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spec, "{error}");
    error.message()
}

#[tokio::test]
async fn without_a_spec_there_are_the_defaults_of_the_design() {
    let directory = tempfile::tempdir().unwrap();
    let settings = load(directory.path()).await.unwrap();
    assert_eq!(settings.spec, None);
    let tiers: Vec<_> =
        settings.tiers.iter().map(|tier| (tier.name.as_str(), tier.cpu, tier.memory_gb, tier.disk_gb)).collect();
    let expected = [("cax11", 2, 4.0, 40), ("cax21", 4, 8.0, 80), ("cax31", 8, 16.0, 160), ("cax41", 16, 32.0, 320)];
    assert_eq!(tiers, expected);
    for (language, cpu, memory_gb, minutes) in [
        ("rust", 4.0, 8.0, 60.0),
        ("go", 2.0, 4.0, 30.0),
        ("java", 4.0, 8.0, 45.0),
        ("kotlin", 4.0, 8.0, 45.0),
        ("scala", 4.0, 8.0, 45.0),
        ("other", 2.0, 4.0, 30.0),
        ("cobol", 2.0, 4.0, 30.0),
    ] {
        let size = settings.languages.get(language);
        assert_eq!((size.cpu, size.memory_gb, size.time_budget_min), (cpu, memory_gb, minutes), "{language}");
    }
}

#[tokio::test]
async fn a_spec_may_import_what_lies_in_the_context() {
    let directory = context(
        r#"let common = import "ci/common.ncl" in
           let { BuildSpec, .. } = import "lian/schemas/build_spec.ncl" in
           common & { cpu = 4, cache_keys = [import "ci/key.txt"] } | BuildSpec"#,
    );
    fs::create_dir(directory.path().join("ci")).unwrap();
    fs::write(directory.path().join("ci/common.ncl"), r#"{ memory_gb = (import "../size.json").gb }"#).unwrap();
    fs::write(directory.path().join("ci/key.txt"), "main").unwrap();
    fs::write(directory.path().join("real.json"), r#"{"gb": 7.5}"#).unwrap();
    symlink("real.json", directory.path().join("size.json")).unwrap();
    let spec = load(directory.path()).await.unwrap().spec.unwrap();
    assert_eq!((spec.cpu, spec.memory_gb), (Some(4.0), Some(7.5)));
    assert_eq!((spec.oom_retry, spec.cache_keys), (true, vec!["main".to_owned()]));
}

#[tokio::test]
async fn an_import_from_outside_is_refused_and_its_text_never_shown() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.ncl"), "hunter2 is not { nickel").unwrap();
    let secret = outside.path().join("secret.ncl");
    let absolute = format!("import \"{}\"", secret.display());
    let dots = format!("import \"{}{}\"", "../".repeat(16), secret.strip_prefix("/").unwrap().display());
    for text in [
        absolute.clone(),
        dots,
        "import \"link.ncl\"".to_owned(),
        "import \"dir/secret.ncl\"".to_owned(),
        format!("{{ cache_keys = [{absolute} as 'Text] }}"),
        "{ cpu | (import \"link.ncl\") = 1, memory_gb = 1 }".to_owned(),
        "{ cache_keys = [\"%{import \"link.ncl\" as 'Text}\"] }".to_owned(),
    ] {
        let directory = context(&text);
        symlink(&secret, directory.path().join("link.ncl")).unwrap();
        symlink(outside.path(), directory.path().join("dir")).unwrap();
        let message = refused(directory.path()).await;
        assert!(message.contains("a document can only import files inside of its own directory"), "{message}");
        assert!(message.contains("┌─ .build-spec.ncl:1:"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

/// A tiers file below the root of a project, with other files beside it.
async fn tiers_in(root: &Path, name: &str) -> Result<Evaluated, Error> {
    let document = Document::file(root, name, "", Contract::Tiers);
    evaluator().evaluate(vec![document]).await.map(|mut evaluated| evaluated.remove(0))
}

fn names(evaluated: &Evaluated) -> Vec<&str> {
    let tiers = evaluated.value["tiers"].as_array().unwrap();
    tiers.iter().map(|tier| tier["name"].as_str().unwrap()).collect()
}

const OWN: &str = "{ tiers = [{ name = \"own\", cpu = 1, memory_gb = 1, disk_gb = 1 }] }";

#[tokio::test]
async fn a_document_below_the_root_may_import_what_is_above_it() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("ci")).unwrap();
    fs::write(root.path().join("own.ncl"), OWN).unwrap();
    fs::write(root.path().join("ci/tiers.ncl"), "{ tiers =\n  (import \"../own.ncl\").tiers }").unwrap();
    let evaluated = tiers_in(root.path(), "ci/tiers.ncl").await.unwrap();
    assert_eq!(names(&evaluated), ["own"]);
    let place = |path: &str| evaluated.places.nearest(path).map(ToString::to_string);
    assert_eq!(place("tiers").as_deref(), Some("ci/tiers.ncl:1:3"));
    assert_eq!(place("tiers[0].cpu").as_deref(), Some("own.ncl:1:28"));
    for (name, text) in [("ci/out.ncl", "import \"../../own.ncl\""), ("../own.ncl", "")] {
        let _ = fs::write(root.path().join(name), text);
        let message = tiers_in(root.path(), name).await.unwrap_err().message();
        assert!(message.contains("a document can only import files inside of its own directory"), "{message}");
    }
}

#[tokio::test]
async fn our_names_are_ours_unless_the_project_says_otherwise() {
    let root = tempfile::tempdir().unwrap();
    for directory in ["ci/defaults", "ci/lian/defaults", "lian"] {
        fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    fs::write(root.path().join("ci/defaults/tiers.ncl"), OWN).unwrap();
    fs::write(root.path().join("ci/lian/defaults/tiers.ncl"), OWN).unwrap();
    let ladder = ["cax11", "cax21", "cax31", "cax41"];
    for (import, expected, is_warned) in [
        ("import \"lian/defaults/tiers.ncl\"", &ladder[..], true),
        ("import \"defaults/tiers.ncl\"", &ladder, true),
        ("import \"defaults//tiers.ncl\"", &ladder, true),
        ("import \"./defaults/tiers.ncl\"", &["own"], false),
        ("import \"../ci/defaults/tiers.ncl\"", &["own"], false),
        ("(import \"./defaults/tiers.ncl\") | (import \"schemas/tiers.ncl\").TiersFile", &["own"], false),
    ] {
        fs::write(root.path().join("ci/t.ncl"), import).unwrap();
        let evaluated = tiers_in(root.path(), "ci/t.ncl").await.unwrap();
        assert_eq!(names(&evaluated), expected, "{import}");
        assert_eq!(evaluated.warnings.len(), usize::from(is_warned), "{import}: {:?}", evaluated.warnings);
        if let Some(place) = evaluated.places.get("tiers[0].name") {
            assert_eq!(place.file == "lian/defaults/tiers.ncl", expected.len() > 1, "{import}: {place}");
        } else {
            panic!("{import}: {:?}", evaluated.places);
        }
        for warning in &evaluated.warnings {
            assert!(warning.contains("`ci/t.ncl`") && warning.contains("is taken only where"), "{warning}");
        }
    }
    for (import, wrong) in [
        ("import \"lian/tears.ncl\"", "there is no such embedded file; did you mean `lian/schemas/tiers.ncl`?"),
        ("(import \"./defaults/tiers.ncl\") & (import \"defaults/tiers.ncl\")", "are both imported from here"),
        ("(import \"defaults/tiers.ncl\") & (import \"./defaults/tiers.ncl\")", "are both imported from here"),
    ] {
        fs::write(root.path().join("ci/t.ncl"), import).unwrap();
        let message = tiers_in(root.path(), "ci/t.ncl").await.unwrap_err().message();
        assert!(message.contains(wrong), "{message}");
    }
}

#[tokio::test]
async fn an_import_in_an_import_is_refused_with_its_own_place() {
    let directory = context("import \"inner.ncl\"");
    fs::write(directory.path().join("inner.ncl"), "\n  import \"/etc/hostname\" as 'Text").unwrap();
    let message = refused(directory.path()).await;
    assert!(message.contains("import of `/etc/hostname` failed"), "{message}");
    assert!(message.contains("┌─ inner.ncl:2:3"), "{message}");
}

#[tokio::test]
async fn a_spec_that_is_no_ordinary_file_is_an_error() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("spec.ncl"), "{}").unwrap();
    type Make = Box<dyn Fn(&Path)>;
    let target = outside.path().join("spec.ncl");
    let cases: Vec<(Make, &str)> = vec![
        (Box::new(move |path| symlink(&target, path).unwrap()), "is a symlink that leads outside"),
        (Box::new(|path| symlink("nowhere", path).unwrap()), "is a symlink that leads nowhere"),
        (Box::new(|path| symlink("/dev/zero", path).unwrap()), "is a symlink that leads outside"),
        (Box::new(|path| fs::create_dir(path).unwrap()), "is a directory, not a file"),
        (
            Box::new(|path| {
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
            }),
            "is a FIFO, not a file",
        ),
        (Box::new(|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())), "is a socket, not a file"),
        (Box::new(|path| fs::write(path, [b'{', 0xff, b'}']).unwrap()), "is not UTF-8 text"),
        (Box::new(|path| fs::write(path, vec![b' '; 10 << 20]).unwrap()), "has 10485760 bytes; at most 1048576"),
    ];
    for (make, wrong) in cases {
        let directory = tempfile::tempdir().unwrap();
        make(&directory.path().join(".build-spec.ncl"));
        let message = refused(directory.path()).await;
        assert!(message.starts_with("`.build-spec.ncl` cannot be read: it "), "{message}");
        assert!(message.contains(wrong), "{wrong}: {message}");
    }
}

#[tokio::test]
async fn recursion_without_an_end_is_ended() {
    let spinning = context("let rec f = fun x => f x in { cpu = f 0, memory_gb = 1 }");
    let limits = Limits { cpu_seconds: 2, wall: Duration::from_secs(120), ..Limits::default() };
    let evaluator = Evaluator::of_program(env!("CARGO_BIN_EXE_lian-build")).limits(limits);
    let error = settings::load_with(&evaluator, spinning.path(), None, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spec);
    assert_eq!(error.message(), "evaluation of `.build-spec.ncl` did not end within 2 s");
    assert_eq!(error.hints(), ["look for a recursion without an end"]);
}

#[tokio::test]
async fn an_evaluation_that_waits_is_ended_by_the_clock() {
    let spinning = context("let rec f = fun x => f x in { cpu = f 0, memory_gb = 1 }");
    let limits = Limits { cpu_seconds: 600, wall: Duration::from_secs(1), ..Limits::default() };
    let evaluator = Evaluator::of_program(env!("CARGO_BIN_EXE_lian-build")).limits(limits);
    let error = settings::load_with(&evaluator, spinning.path(), None, &[]).await.unwrap_err();
    assert!(error.message().ends_with("did not end within 1 s"), "{error}");
}

#[tokio::test]
async fn recursion_that_eats_memory_is_ended() {
    let directory = context("let rec f = fun x => 1 + f (x + 1) in { cpu = f 0, memory_gb = 1 }");
    let limits = Limits { memory_mb: 64, cpu_seconds: 60, wall: Duration::from_secs(120) };
    let evaluator = Evaluator::of_program(env!("CARGO_BIN_EXE_lian-build")).limits(limits);
    let error = settings::load_with(&evaluator, directory.path(), None, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spec);
    assert_eq!(error.message(), "evaluation of `.build-spec.ncl` needed more than 64 MB of memory");
}

#[tokio::test]
async fn nesting_without_measure_is_an_error() {
    let depth = 250_000;
    let directory = context(&format!("{}1{}", "[".repeat(depth), "]".repeat(depth)));
    let message = refused(directory.path()).await;
    assert!(message.contains("`.build-spec.ncl`"), "{message}");
}

#[tokio::test]
async fn a_tiers_file_of_the_users_own_replaces_the_ladder() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("small \"tiers\".ncl");
    let text = "{ tiers = [
        { name = \"b\", cpu = 2, memory_gb = 0.5, disk_gb = 2 },
        { name = \"a\", cpu = 1, memory_gb = 0.25, disk_gb = 1 } ] }";
    fs::write(&file, text).unwrap();
    let root = tempfile::tempdir().unwrap();
    let settings = settings::load_with(&evaluator(), root.path(), Some(&file), &[]).await.unwrap();
    let tiers: Vec<_> = settings.tiers.iter().map(|tier| (tier.name.as_str(), tier.memory_gb)).collect();
    assert_eq!(tiers, [("a", 0.25), ("b", 0.5)]);
}

#[tokio::test]
async fn a_tiers_file_may_build_on_the_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tiers.ncl");
    let text = "let defaults = import \"lian/defaults/tiers.ncl\" in
        { tiers = defaults.tiers @ [{ name = \"big\", cpu = 64, memory_gb = 256, disk_gb = 1000 }] }";
    fs::write(&file, text).unwrap();
    let root = tempfile::tempdir().unwrap();
    let settings = settings::load_with(&evaluator(), root.path(), Some(&file), &[]).await.unwrap();
    assert_eq!(settings.tiers.iter().count(), 5);
    assert_eq!(settings.tiers.largest().map(|tier| tier.cpu), Some(64));
}

#[tokio::test]
async fn an_invalid_tiers_file_is_told_what_is_wrong_and_where() {
    let tier = |rest: &str| format!("{{ tiers = [\n  {{ name = \"a\", {rest} }}\n] }}");
    for (text, wrong) in [
        (tier("cpu = 1.5, memory_gb = 1, disk_gb = 1"), "cpu is 1.5: it has to be a whole number"),
        (tier("cpu = 0, memory_gb = 1, disk_gb = 1"), "cpu is 0: it has to be above 0 and at most 1024"),
        (tier("cpu = 1, memory_gb = -1, disk_gb = 1"), "memory_gb is -1: it has to be above 0"),
        (tier("cpus = 1, memory_gb = 1, disk_gb = 1"), "unknown field `cpus`: did you mean `cpu`?"),
        (tier("cpu = 1, memory_gb = 1"), "missing field `disk_gb`"),
        ("{ tiers = [] }".to_owned(), "a ladder has at least one tier"),
        ("{ tears = [] }".to_owned(), "unknown field `tears`: did you mean `tiers`?"),
        (
            "{ tiers = [{ name = \"A b\", cpu = 1, memory_gb = 1, disk_gb = 1 }] }".to_owned(),
            "`A b` is not a tier's name: ",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tiers.ncl");
        fs::write(&file, text).unwrap();
        let root = tempfile::tempdir().unwrap();
        let error = settings::load_with(&evaluator(), root.path(), Some(&file), &[]).await.unwrap_err();
        let message = error.message();
        assert!(message.starts_with(&format!("`{}` is not valid: {wrong}", file.display())), "{message}");
        assert!(message.contains(&format!("┌─ {}:", file.display())), "{message}");
    }
}

#[tokio::test]
async fn a_missing_tiers_file_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let error = settings::load_with(&evaluator(), root.path(), Some(Path::new("/nowhere/tiers.ncl")), &[]).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spec);
    assert!(error.message().starts_with("`/nowhere/tiers.ncl` cannot be read"), "{error}");
}

#[tokio::test]
async fn a_context_may_have_any_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join(std::ffi::OsStr::from_bytes(b"a \"b\n\xff%{c}"));
    fs::create_dir(&root).unwrap();
    fs::write(root.join(".build-spec.ncl"), "import \"x.json\"").unwrap();
    fs::write(root.join("x.json"), "{\"cpu\": 1, \"memory_gb\": 2}").unwrap();
    let spec = load(&root).await.unwrap().spec.unwrap();
    assert_eq!((spec.cpu, spec.memory_gb), (Some(1.0), Some(2.0)));
    fs::write(root.join("x.json"), "{\"cpu\": 0, \"memory_gb\": 2}").unwrap();
    let message = refused(&root).await;
    assert!(message.starts_with("`.build-spec.ncl` is not valid: cpu is 0: "), "{message}");
}

#[tokio::test]
async fn the_message_about_a_source_of_one_long_line_is_short() {
    let directory = context(&format!("{{ cpu = 0, memory_gb = 1, cache_keys = [\"{}\"] }}", "x".repeat(900_000)));
    let message = refused(directory.path()).await;
    assert!(message.contains("cpu is 0") && message.len() < 10_000, "{} bytes", message.len());
}

#[tokio::test]
async fn a_crowd_of_imports_is_refused() {
    let directory = context("import \"0.ncl\"");
    for number in 0..100 {
        fs::write(directory.path().join(format!("{number}.ncl")), format!("import \"{}.ncl\"", number + 1)).unwrap();
    }
    let message = refused(directory.path()).await;
    assert!(message.contains("more than 64 files are imported"), "{message}");
}
