//! The image's name that a git remote suggests.

use crate::registry::Reference;

/// Hosts of sources that have a registry of their own, beside it.
const REGISTRIES: &[(&str, &str)] = &[("github.com", "ghcr.io"), ("gitlab.com", "registry.gitlab.com")];

/// The name without a tag: `ghcr.io/acme/shop` for GitHub's `acme/shop`; `None` where nothing is known about the host, or
/// the path fits no registry.
pub(super) fn of_remote(url: &str) -> Option<String> {
    let (host, path) = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        None => url.split_once(':')?,
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let (_, registry) = REGISTRIES.iter().find(|(source, _)| *source == host)?;
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).to_ascii_lowercase();
    let name = format!("{registry}/{path}");
    (path.contains('/') && Reference::parse(&format!("{name}:tag")).is_ok()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_at_a_host_with_a_registry_has_a_name_there() {
        for (url, name) in [
            ("https://github.com/Acme/Shop.git", Some("ghcr.io/acme/shop")),
            ("git@github.com:acme/shop", Some("ghcr.io/acme/shop")),
            ("ssh://git@gitlab.com:22/group/below/shop.git", Some("registry.gitlab.com/group/below/shop")),
            ("https://user:token@github.com/acme/shop/", Some("ghcr.io/acme/shop")),
            ("https://git.example.org/acme/shop", None),
            ("https://github.com/acme", None),
            ("git@github.com:acme/-", None),
            ("git@github.com:acme/shop\"}", None),
            ("/srv/git/shop.git", None),
        ] {
            assert_eq!(of_remote(url).as_deref(), name, "{url}");
        }
    }
}
