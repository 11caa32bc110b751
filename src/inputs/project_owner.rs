//! Whose the runners of this project are.

use std::path::Path;

use crate::env_vars::{self, Environment};
use crate::ids::Workspace;
use crate::inputs::git::Git;
use crate::inputs::workspace::without_login;
use crate::lease::OwnerId;

/// The owner and how it was found: configured (`said`, else `LIAN_OWNER`), else derived from the address of the git remote
/// of `directory`, else from the workspace's name. Two jobs of a project find the same one, from whatever home they start.
pub async fn find(
    said: Option<&str>,
    environment: &Environment,
    directory: &Path,
    workspace: &Workspace,
) -> (OwnerId, String) {
    if let Some(configured) = configured(said, environment) {
        return configured;
    }
    if let Some(git) = Git::find(environment, directory)
        && let Some(url) = git.remote_url().await
    {
        return (OwnerId::derive(&same_address(&url)), "from the git remote".to_owned());
    }
    (OwnerId::of_workspace(workspace), "from the workspace's name".to_owned())
}

/// The owner that was said, or configured in the environment.
pub fn configured(said: Option<&str>, environment: &Environment) -> Option<(OwnerId, String)> {
    let said = said.map(|name| (OwnerId::derive(name), "--owner".to_owned()));
    let variable = || {
        let name = environment.text(env_vars::LIAN_OWNER)?;
        Some((OwnerId::derive(name), format!("`{}`", env_vars::LIAN_OWNER)))
    };
    said.or_else(variable)
}

/// `git@host:group/name.git` and `https://user:token@host/group/name` are the same project.
fn same_address(url: &str) -> String {
    let url = without_login(url.trim());
    let address = match url.split_once("://") {
        Some((_, rest)) => rest.to_owned(),
        None => {
            let host_and_path = url.split_once('@').map_or(url.as_str(), |(_, rest)| rest);
            host_and_path.replacen(':', "/", 1)
        }
    };
    let address = address.trim_end_matches('/');
    address.strip_suffix(".git").unwrap_or(address).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_the_same_over_every_protocol() {
        for url in [
            "https://example.org/group/tool.git",
            "https://ci:token@example.org/group/tool/",
            "git@example.org:group/tool.git",
            "ssh://git@example.org/group/tool",
        ] {
            assert_eq!(same_address(url), "example.org/group/tool", "{url}");
        }
    }

    #[tokio::test]
    async fn what_is_said_wins() {
        let workspace: Workspace = "shop".parse().unwrap();
        let nowhere = Path::new("/nonexistent");
        let set = Environment::from_pairs([("LIAN_OWNER", "team")]);
        let of = async |said, environment: &Environment| find(said, environment, nowhere, &workspace).await.0;
        assert_eq!(of(Some("ours"), &set).await, OwnerId::derive("ours"));
        assert_eq!(of(None, &set).await, OwnerId::derive("team"));
        assert_eq!(of(None, &Environment::default()).await, OwnerId::of_workspace(&workspace));
    }
}
