//! [`Names`]: fills the placeholders of images' names in, from git where they need it.

use std::path::Path;

use super::placeholder::{Placeholder, Template, tag_of_branch};
use crate::env_vars::Environment;
use crate::error::{Error, Result};
use crate::ids::{Actor, ActorId, Workspace};
use crate::inputs::git::Git;
use crate::registry::Reference;
use crate::sanitise;

/// How many characters of a commit's id `${short_sha}` has: enough for the largest repositories.
const SHORT: usize = 12;
/// How many changed files a refusal lists.
const LISTED: usize = 3;

/// Checks a name as far as that goes before it is known what its placeholders stand for.
///
/// # Errors
/// `Usage` for a placeholder that is not known, and for what no image can be pushed under.
pub fn check(name: &str) -> Result<()> {
    let filled = Template::parse(name)?.fill(Placeholder::stand_in);
    // What is said of the name is said of it as it is written.
    let as_written = |text: &str| {
        let all = Placeholder::ALL.into_iter();
        all.fold(text.to_owned(), |text, one| text.replace(one.stand_in(), &format!("${{{}}}", one.word())))
    };
    Reference::parse_push_target(&filled).map(drop).map_err(|error| {
        let said = Error::new(error.kind(), as_written(&error.message()));
        error.hints().iter().fold(said, |said, hint| said.hint(as_written(hint)))
    })
}

/// What placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// What is built.
    pub workspace: &'a Workspace,
    /// What kind of caller: CI does not name an image after a commit that it was not made of.
    pub actor: Actor,
    /// Who builds.
    pub actor_id: &'a ActorId,
    /// The directory whose repository has the commit.
    pub root: &'a Path,
    /// The directories that are built. What is changed in them makes the commit's id a wrong name.
    pub sources: &'a [&'a Path],
}

/// The words of one run.
#[derive(Default)]
struct Words {
    sha: String,
    short_sha: String,
    branch: String,
}

impl Names<'_> {
    /// The names with every placeholder filled in. git is asked only for what they need.
    ///
    /// # Errors
    /// `Usage` for a placeholder that is not known, or that git has nothing for; and for changed files where the actor is
    /// CI or one of its helpers.
    pub async fn fill(&self, names: &[String], environment: &Environment) -> Result<Vec<String>> {
        let templates = names.iter().map(|name| Template::parse(name)).collect::<Result<Vec<_>>>()?;
        let needs = |placeholder| templates.iter().any(|template| template.needs(placeholder));
        let mut words = Words::default();
        if needs(Placeholder::Sha) || needs(Placeholder::ShortSha) {
            let git = git(environment, self.root, "`${sha}`")?.building(self.sources);
            let commit = git.commit().await?;
            let dirty = if self.is_clean(&git, &commit).await? { "" } else { "-dirty" };
            words.short_sha = format!("{}{dirty}", commit.get(..SHORT).unwrap_or(&commit));
            words.sha = format!("{commit}{dirty}");
        }
        if needs(Placeholder::Branch) {
            let git = git(environment, self.root, "`${branch}`")?.building(self.sources);
            let branch = git.branch().await?;
            let branch = branch.ok_or_else(|| {
                Error::usage("`${branch}`: a commit is checked out, and not a branch")
                    .hint("CI often does so: use `${sha}`, or check the branch out")
            })?;
            words.branch = tag_of_branch(&branch)?;
        }
        let word = |placeholder| match placeholder {
            Placeholder::Sha => words.sha.as_str(),
            Placeholder::ShortSha => words.short_sha.as_str(),
            Placeholder::Branch => words.branch.as_str(),
            Placeholder::Workspace => self.workspace.as_str(),
            Placeholder::ActorId => self.actor_id.as_str(),
        };
        Ok(templates.iter().map(|template| template.fill(word)).collect())
    }

    /// Whether what is built is what `commit` has. In CI it has to be.
    async fn is_clean(&self, git: &Git, commit: &str) -> Result<bool> {
        let changed = git.changes(self.sources).await?;
        if changed.is_empty() {
            return Ok(true);
        }
        if !matches!(self.actor, Actor::Ci | Actor::CiAux) {
            return Ok(false);
        }
        let listed: Vec<String> =
            changed.iter().take(LISTED).map(|file| format!("`{}`", sanitise::line(file))).collect();
        let more = match changed.len().saturating_sub(LISTED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Err(Error::usage(format!(
            "what is built is not commit {}: {}{more} changed since, or not in it",
            commit.get(..SHORT).unwrap_or(commit),
            listed.join(", ")
        ))
        .hint("commit them, or let `.gitignore` name them; sessions build with `-dirty` in the name"))
    }
}

fn git(environment: &Environment, root: &Path, what: &str) -> Result<Git> {
    Git::find(environment, root).ok_or_else(|| {
        Error::usage(format!("{what} comes from git, and there is no `git` program"))
            .hint("install git, or name the image without it")
    })
}
