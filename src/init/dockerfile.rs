//! The Dockerfile of a Rust project, and the ignore file beside it.

use std::fmt::Write as _;

use super::rust::RustProject;

/// The stages that are no program's.
const BUILD: &str = "build";
const RUNTIME: &str = "runtime";

/// What does not belong into a build.
pub(super) const DOCKERIGNORE: &str = "\
# What is not sent to the build machine.
.git
/target
**/node_modules
**/.DS_Store
";

/// One stage compiles everything, and each program gets an image of its own; the default one's comes last, so that it is
/// built where no stage is named. `None` for a project without programs.
///
/// Crates and compiled dependencies are kept in cache mounts. They need nothing but the base images and the crates, and
/// compile exactly what Cargo compiles outside.
pub(super) fn of_rust(project: &RustProject) -> Option<String> {
    let default = &project.default.as_ref()?.name;
    let mut text = head(project, default);
    build_stage(&mut text, project);
    let runtime = &project.image.runtime;
    let _ = write!(text, "\nFROM {runtime} AS {RUNTIME}\n");
    install(&mut text, project.native.run.iter().copied());
    text.push_str("COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/\n");
    text.push_str("# Nobody in particular: a program needs no root.\nUSER 65532:65532\n");
    let others = project.binaries.iter().map(|binary| &binary.name).filter(|name| *name != default);
    for name in others.chain([default]) {
        let _ = write!(
            text,
            "\nFROM {RUNTIME} AS {}\nCOPY --from={BUILD} /out/{name} /usr/local/bin/\nENTRYPOINT [\"/usr/local/bin/{name}\"]\n",
            stage(name)
        );
    }
    Some(text)
}

/// The stage that makes the image of a program. Stages have lower-case names that begin with a letter.
pub(super) fn stage(program: &str) -> String {
    let name = program.to_ascii_lowercase();
    let is_taken = [BUILD, RUNTIME, "scratch", "context"].contains(&name.as_str());
    if is_taken || !name.starts_with(|first: char| first.is_ascii_lowercase()) { format!("image-{name}") } else { name }
}

fn head(project: &RustProject, default: &str) -> String {
    let mut text = "# Written by `lian-build init`. It is yours now: nothing overwrites it.\n".to_owned();
    let mut others = project.binaries.iter().map(|binary| &binary.name).filter(|name| *name != default).peekable();
    if others.peek().is_some() {
        let _ = writeln!(text, "# The image of `{default}`; those of the other programs with `--target`:");
        for name in others {
            let _ = writeln!(text, "#   lian-build build . --target {}", stage(name));
        }
    }
    text
}

fn build_stage(text: &mut String, project: &RustProject) {
    let _ = write!(text, "\nFROM {} AS {BUILD}\n", project.image.name);
    let mut packages = project.native.build.clone();
    if project.config.target.as_ref().is_some_and(|target| target.ends_with("-musl")) {
        packages.insert("musl-tools");
    }
    install(text, packages.into_iter());
    if project.image.use_own_toolchain {
        text.push_str("# The toolchain of the image: otherwise rustup may download another one.\n");
        text.push_str("ENV RUSTUP_TOOLCHAIN=$RUST_VERSION\n");
    }
    if let Some(target) = &project.config.target {
        let _ = writeln!(text, "# As `.cargo/config.toml` has it.\nRUN rustup target add {target}");
    }
    text.push_str("WORKDIR /src\nCOPY . .\n");
    text.push_str(
        "# Crates and compiled dependencies are kept for the next build of the same BuildKit. The project's own sources are\n\
         # always compiled: `touch` makes them newer than what is kept, whatever their times were.\n",
    );
    text.push_str(
        "RUN --mount=type=cache,target=/usr/local/cargo/registry \\\n    \
         --mount=type=cache,target=/usr/local/cargo/git/db \\\n    \
         --mount=type=cache,target=/src/target,sharing=locked \\\n    \
         find . -path ./target -prune -o -type f -exec touch {} + \\\n    && cargo build --release",
    );
    if project.is_locked {
        text.push_str(" --locked");
    }
    if project.is_workspace {
        text.push_str(" --workspace");
    }
    if project.config.moves_target_dir {
        text.push_str(" --target-dir target");
    }
    for binary in &project.binaries {
        let _ = write!(text, " \\\n        --bin {}", binary.name);
    }
    text.push_str(" \\\n    && mkdir /out \\\n    && cp");
    for binary in &project.binaries {
        let _ = write!(text, " {}/{}", project.config.programs(), binary.name);
    }
    text.push_str(" /out/\n");
}

/// Installs Debian packages, if there are any.
fn install(text: &mut String, packages: impl Iterator<Item = &'static str>) {
    let packages: Vec<&str> = packages.collect();
    if !packages.is_empty() {
        let _ = write!(
            text,
            "RUN apt-get update \\\n    && apt-get install --yes --no-install-recommends {} \\\n    && rm -rf \
             /var/lib/apt/lists/*\n",
            packages.join(" ")
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::inputs::context::Root;

    /// The Dockerfile of a project with these files, whose name is `shop`.
    fn dockerfile(files: &[(&str, &str)]) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = Root::open(directory.path()).unwrap();
        of_rust(&RustProject::find(&root, "shop").unwrap().unwrap())
    }

    #[test]
    fn a_workspace_gets_an_image_for_each_program() {
        let text = dockerfile(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\nexclude = [\"crates/old\"]"),
            ("Cargo.lock", "version = 4\n[[package]]\nname = \"openssl-sys\"\nversion = \"1\""),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.90\""),
            ("crates/shop/Cargo.toml", "[package]\nname = \"shop\""),
            ("crates/shop/src/main.rs", ""),
            ("crates/jobs/Cargo.toml", "[package]\nname = \"jobs\"\n[[bin]]\nname = \"build\"\npath = \"src/main.rs\""),
            ("crates/jobs/src/main.rs", ""),
            ("crates/jobs/src/bin/worker/main.rs", ""),
            ("crates/old/Cargo.toml", "[package]\nname = \"old\""),
            ("crates/old/src/main.rs", ""),
            ("crates/library/Cargo.toml", "[package]\nname = \"library\""),
            ("crates/library/src/lib.rs", ""),
        ]);
        insta::assert_snapshot!(text.unwrap());
    }

    #[test]
    fn a_package_gets_one_image() {
        let text = dockerfile(&[
            (
                "Cargo.toml",
                "[package]\nname = \"tool\"\n[features]\ndefault = [\"a\"]\na = [\"b\"]\nb = []\n\
              [[bin]]\nname = \"extra\"\nrequired-features = [\"b\"]\npath = \"src/extra.rs\"\n\
              [[bin]]\nname = \"odd\"\nrequired-features = [\"c\"]",
            ),
            ("src/main.rs", ""),
        ]);
        insta::assert_snapshot!(text.unwrap());
    }

    #[test]
    fn programs_are_taken_from_where_cargo_puts_them() {
        let config = "[build]\ntarget = \"x86_64-unknown-linux-musl\"\ntarget-dir = \"../out\"";
        let files = [("Cargo.toml", "[package]\nname = \"tool\""), ("src/main.rs", ""), (".cargo/config.toml", config)];
        let text = dockerfile(&files).unwrap();
        for line in [
            "--no-install-recommends musl-tools ",
            "RUN rustup target add x86_64-unknown-linux-musl\n",
            "cargo build --release --target-dir target ",
            "cp target/x86_64-unknown-linux-musl/release/tool /out/",
        ] {
            assert!(text.contains(line), "`{line}` is missing: {text}");
        }
        let odd = [files[0], files[1], (".cargo/config", "[build]\ntarget = \"x\\nRUN evil\"")];
        assert!(!dockerfile(&odd).unwrap().contains("evil"));
    }

    #[test]
    fn a_library_gets_none() {
        assert_eq!(dockerfile(&[("Cargo.toml", "[package]\nname = \"tool\""), ("src/lib.rs", "")]), None);
    }

    #[test]
    fn no_name_from_the_project_writes_another_line() {
        let text = dockerfile(&[
            ("Cargo.toml", "[package]\nname = \"tool\"\n[[bin]]\nname = \"a\\nRUN evil\"\n[[bin]]\nname = \"-x\""),
            ("src/main.rs", ""),
        ]);
        assert!(!text.unwrap().contains("evil"));
    }
}
