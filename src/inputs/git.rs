//! What git knows of a directory.
//!
//! Where a name is only guessed nothing is an error: without git, without a repository, or in a repository of somebody else
//! there is simply nothing to know. Where a caller asks for the commit, the reason is said. Nothing that a repository's
//! configuration names is run: no hook, no file system monitor, no transport, no content filter. And only the repository
//! counts that [`WorkTree`] finds: whatever else git discovers may be files of a commit.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::env_vars::{self, Environment};
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::work_tree::WorkTree;
use crate::process::{Cmd, Output};
use crate::sanitise;

/// A repository that does not answer by then (a network drive, say) is as good as none.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a question may take whose answer is needed: a large tree has to be looked through.
const LONG_LIMIT: Duration = Duration::from_secs(120);

/// What `git config` exits with when nothing is set.
const NO_SUCH_SETTING: i32 = 1;

/// Settings that go before the repository's own.
const SAFE: [&str; 10] = [
    "-c",
    "safe.bareRepository=explicit",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "protocol.allow=never",
    "-c",
    "submodule.recurse=false",
];

/// A directory that may belong to a git repository.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
    path: std::ffi::OsString,
    directory: PathBuf,
    /// What the caller builds of it, besides.
    built: Vec<PathBuf>,
    tree: Option<WorkTree>,
}

impl Git {
    /// Git for `directory`; `None` when there is no `git` program.
    pub fn find(environment: &Environment, directory: &Path) -> Option<Self> {
        Some(Self {
            program: environment.find_program("git")?,
            path: environment.os(env_vars::PATH)?.to_owned(),
            directory: directory.canonicalize().unwrap_or_else(|_| directory.to_owned()),
            built: Vec::new(),
            tree: WorkTree::containing(directory),
        })
    }

    /// The same, for a caller who builds `paths` of it: they count for whether it is a stranger's.
    #[must_use]
    pub fn building(mut self, paths: &[&Path]) -> Self {
        self.built = paths.iter().map(|path| path.canonicalize().unwrap_or_else(|_| (*path).to_owned())).collect();
        self
    }

    /// The address of the remote `origin`, as it is configured.
    pub async fn remote_url(&self) -> Option<String> {
        let tree = self.work_tree(LIMIT).await.ok()?;
        let output = command(self, tree, &["config", "--get", "remote.origin.url"]).output_within(LIMIT).await.ok()?;
        let text = output.success().then(|| output.stdout_text())?;
        (!text.is_empty()).then_some(text)
    }

    /// Where the directory is in its repository: `services/api`, and nothing at the repository's root. `None` outside of
    /// any.
    pub async fn prefix(&self) -> Option<String> {
        let tree = self.work_tree(LIMIT).await.ok()?;
        Some(self.directory.strip_prefix(&tree.top).ok()?.to_string_lossy().into_owned())
    }

    /// The full id of the commit that is checked out.
    ///
    /// # Errors
    /// `Usage` with git's reason: no repository, one of another user, no commit yet.
    pub async fn commit(&self) -> Result<String> {
        Ok(self.need(&["rev-parse", "--verify", "HEAD^{commit}"]).await?.stdout_text())
    }

    /// The branch that is checked out; `None` when it is a commit.
    ///
    /// # Errors
    /// As [`Git::commit`].
    pub async fn branch(&self) -> Result<Option<String>> {
        let name = self.need(&["rev-parse", "--symbolic-full-name", "HEAD"]).await?.stdout_text();
        Ok(name.strip_prefix("refs/heads/").map(str::to_owned))
    }

    /// What is changed below `paths` since the commit, and what is there but neither in it nor ignored. A directory of which
    /// nothing is in the commit counts once. What is changed within a submodule does not count: its own configuration could
    /// name programs. Files are compared as they are, without the filters that the repository names.
    ///
    /// # Errors
    /// As [`Git::commit`], and for a path that is outside of the repository.
    pub async fn changes(&self, paths: &[&Path]) -> Result<Vec<String>> {
        let tree = self.work_tree(LONG_LIMIT).await?;
        let mut arguments = self.no_filters(tree).await?;
        arguments.extend(
            [
                "status",
                "--porcelain=v1",
                "-z",
                "--untracked-files=normal",
                "--ignored=no",
                "--ignore-submodules=dirty",
                "--no-renames",
                "--",
            ]
            .map(str::to_owned),
        );
        let command = command(self, tree, &arguments).args(paths).env("GIT_LITERAL_PATHSPECS", "1");
        let output = answer(command.output_within(LONG_LIMIT).await?)?;
        // Each entry is two letters, a space and the path.
        let entries = output.stdout.split(|byte| *byte == 0).filter_map(|entry| entry.get(3..));
        Ok(entries.map(|path| String::from_utf8_lossy(path).into_owned()).collect())
    }

    /// The repository, when git means the same one.
    async fn work_tree(&self, limit: Duration) -> Result<&WorkTree> {
        let tree = self.tree.as_ref().ok_or_else(|| refusal("not a git repository"))?;
        let question = command(self, tree, &["rev-parse", "--show-toplevel", "--absolute-git-dir"]);
        let output = answer(question.output_within(limit).await?)?;
        let mut said = output.stdout.split(|byte| *byte == b'\n').map(|line| Path::new(OsStr::from_bytes(line)));
        let mut next = || said.next().and_then(|path| path.canonicalize().ok());
        let (top, repository) = (next(), next());
        if top.as_ref() == Some(&tree.top) && repository.is_some() && repository == tree.repository() {
            return Ok(tree);
        }
        Err(Error::usage(format!(
            "git takes something else than `{}` for the repository of `{}`",
            tree.top.display(),
            self.directory.display()
        ))
        .hint("look for `core.worktree` in its configuration"))
    }

    /// Settings that take every program away that the repository's configuration names as a content filter.
    async fn no_filters(&self, tree: &WorkTree) -> Result<Vec<String>> {
        let question = command(self, tree, &["config", "-z", "--name-only", "--get-regexp", r"^filter\."]);
        let output = question.output_within(LONG_LIMIT).await?;
        if output.code == NO_SUCH_SETTING {
            return Ok(Vec::new());
        }
        let output = answer(output)?;
        let mut drivers = BTreeSet::new();
        for key in output.stdout.split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
            let key = String::from_utf8_lossy(key);
            // What is set for no driver is not used by git.
            let Some((driver, _)) = key.strip_prefix("filter.").and_then(|rest| rest.rsplit_once('.')) else {
                continue;
            };
            // git would read another name out of the settings below.
            if driver.contains(['=', char::REPLACEMENT_CHARACTER]) {
                return Err(Error::usage(format!("the content filter `{}` has an odd name", sanitise::line(driver)))
                    .hint("take it out of the repository's `.git/config`"));
            }
            drivers.insert(driver.to_owned());
        }
        let settings = drivers.iter().flat_map(|driver| {
            ["clean=", "smudge=", "process=", "required=false"].map(|setting| format!("filter.{driver}.{setting}"))
        });
        Ok(settings.flat_map(|setting| ["-c".to_owned(), setting]).collect())
    }

    /// What git answers to a question that has to have an answer.
    async fn need(&self, args: &[&str]) -> Result<Output> {
        let tree = self.work_tree(LONG_LIMIT).await?;
        answer(command(self, tree, args).output_within(LONG_LIMIT).await?)
    }
}

/// git in the top directory of `tree`, looking no further up. The environment is emptied: inside of a hook git's own
/// variables would point at another repository.
fn command<S: AsRef<OsStr>>(git: &Git, tree: &WorkTree, args: &[S]) -> Cmd {
    let ceiling = tree.top.parent().unwrap_or(&tree.top);
    Cmd::new(&git.program, ErrorKind::Usage)
        .clear_env()
        .env("PATH", &git.path)
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CEILING_DIRECTORIES", ceiling)
        .env("GIT_TERMINAL_PROMPT", "0")
        // A plan has no side effect, not even on git's index; nor is anything fetched for an answer.
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .current_dir(&tree.top)
        .args(SAFE)
        .args(trusted(git, tree))
        .args(args)
}

/// Lets git answer for a repository of another user where that is no stranger's: a checkout that a container's step finds
/// belongs to whoever made it.
///
/// git refuses such repositories, and reads `safe.directory` from its user's configuration only, which is switched off here.
/// Its reason is that a repository somebody else has put above a directory (`/tmp/.git`) could run programs. Neither part of
/// that holds here. This applies only to the very directory that [`WorkTree`] found, and only when it, its `.git`, and
/// everything that the caller has named to be built have one owner: whoever could write the repository has written what is
/// built, too, and the caller has asked for that. And none of the questions that are asked here runs anything that the
/// configuration names, whoever wrote it: hooks, file system monitor, transports and content filters are off.
fn trusted(git: &Git, tree: &WorkTree) -> Vec<std::ffi::OsString> {
    let owner = |path: &Path| path.symlink_metadata().ok().map(|meta| meta.uid());
    let all = [Some(tree.top.clone()), Some(tree.entry()), tree.repository(), Some(git.directory.clone())];
    let mut owners: BTreeSet<Option<u32>> = all.iter().map(|path| path.as_deref().and_then(owner)).collect();
    owners.extend(git.built.iter().map(|path| owner(path)));
    // git reads `*` at the end as a pattern.
    let is_plain = !tree.top.as_os_str().as_bytes().ends_with(b"*");
    if owners.len() != 1 || owners.contains(&None) || !is_plain {
        return Vec::new();
    }
    let mut setting = std::ffi::OsString::from("safe.directory=");
    setting.push(&tree.top);
    vec!["-c".into(), setting]
}

/// git's answer, or its reason for having none.
fn answer(output: Output) -> Result<Output> {
    if output.success() {
        return Ok(output);
    }
    let said = output.stderr_text();
    Err(refusal(said.lines().next().unwrap_or("it does not say why").trim_start_matches("fatal: ")))
}

fn refusal(reason: &str) -> Error {
    let error = Error::usage(format!("git has no answer: {reason}"));
    if ["Needed a single revision", "unknown revision"].iter().any(|words| reason.contains(words)) {
        Error::usage("the git repository has no commit yet, which the image's name is made from")
            .hint("make one (`git add` and `git commit`), or name the image without `${…}` of git")
    } else if reason.contains("dubious ownership") {
        error.hint(
            "the repository and what is built belong to different users: give them to one and the same with `chown -R`",
        )
    } else if reason.contains("not a git repository") {
        error.hint("`git init` and a commit give it one; or name the image without `${…}` of git")
    } else {
        error
    }
}
