//! The workspace's name where the user gave none.

use std::path::Path;

use crate::env_vars::Environment;
use crate::error::{Error, Result};
use crate::ids::Workspace;
use crate::inputs::git::Git;
use crate::sanitise;

/// The name and how it was found, for the user: from the last part of the git remote's address, or else from the name
/// of the context's `directory`, which must be an absolute path without links, `.` and `..`: those name nothing.
///
/// # Errors
/// [`crate::error::ErrorKind::Usage`] when neither holds a letter or digit.
pub async fn default_name(environment: &Environment, directory: &Path) -> Result<(Workspace, String)> {
    if let Some(git) = Git::find(environment, directory)
        && let Some(url) = git.remote_url().await
        && let Some(workspace) = from_remote(&url)
    {
        return Ok((workspace, format!("from the git remote `{}`", sanitise::line(&without_login(&url)))));
    }
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    match Workspace::normalise(&name) {
        Some(workspace) => Ok((workspace, format!("from the directory's name `{}`", sanitise::line(&name)))),
        None => Err(Error::usage(format!("no workspace name can be made of `{}`", directory.display()))
            .hint("say it: `--workspace NAME`")),
    }
}

/// The last part of a remote's address, without `.git`: of `https://host/group/name.git`, `git@host:group/name`.
fn from_remote(url: &str) -> Option<Workspace> {
    let path = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let name = path.rsplit(['/', ':', '\\']).find(|part| !part.is_empty())?;
    Workspace::normalise(name)
}

/// The address without the user and password that some systems write into it.
pub(super) fn without_login(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remotes_last_part_is_the_name() {
        for (url, name) in [
            ("https://example.org/group/My.Tool.git", "my-tool"),
            ("git@example.org:group/tool", "tool"),
            ("git@example.org:tool.git", "tool"),
            ("ssh://git@example.org:2222/a/b/tool.git/", "tool"),
            ("/srv/git/tool.git", "tool"),
            ("../tool", "tool"),
        ] {
            assert_eq!(from_remote(url).map(|workspace| workspace.to_string()).as_deref(), Some(name), "{url}");
        }
        assert_eq!(from_remote("https://"), Workspace::normalise("https"));
        assert_eq!(from_remote("///"), None);
    }

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        assert_eq!(without_login("https://ci:s3cr@t@host/x.git"), "https://host/x.git");
        assert_eq!(without_login("git@host:x"), "git@host:x");
    }
}
