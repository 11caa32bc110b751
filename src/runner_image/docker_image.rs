//! Giving a root to Docker as an image.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::TryStreamExt as _;
use tokio_util::io::ReaderStream;

use super::release::Release;
use crate::error::{Context as _, Error, ErrorKind, Result};

/// The label that names the recipe.
const RECIPE_LABEL: &str = "lian-runner-recipe";

/// The label that names BuildKit's version.
const BUILDKIT_LABEL: &str = "lian-runner-buildkit";

/// The size of the pieces that are sent to Docker, in bytes.
const CHUNK: usize = 1 << 20;

/// How long Docker may take to make an image of a root.
const LOAD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// The image that this version of lian-build starts runners from, where nothing else is said.
pub fn name() -> String {
    format!("lian-build-runner:{}", env!("CARGO_PKG_VERSION"))
}

/// Whether an image with these labels was made from this version's recipe: what a provider and a runner's own first process
/// agreed on may be another in another.
pub fn is_of_this_recipe(labels: &HashMap<String, String>) -> bool {
    labels.get(RECIPE_LABEL).is_some_and(|recipe| *recipe == super::recipe::hash())
}

/// What Docker has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The image's name.
    pub name: String,
    /// Docker's id of it: `sha256:…`.
    pub id: String,
}

/// Makes the image [`name`] of a root's tar, as `docker import` does.
///
/// # Errors
/// [`ErrorKind::Provider`] when Docker cannot be reached or refuses; [`ErrorKind::State`] when the tar cannot be read.
pub async fn load(docker: &Docker, tar: &Path, release: &Release) -> Result<Loaded> {
    let file =
        tokio::fs::File::open(tar).await.context(ErrorKind::State, || format!("cannot read `{}`", tar.display()))?;
    let name = name();
    let options = CreateImageOptionsBuilder::new().from_src("-").repo(&name).changes(image_config(release)).build();
    // It answers when it has unpacked the root, which a slow disk takes minutes for.
    let docker = docker.clone().with_timeout(LOAD_LIMIT);
    let body = bollard::body_try_stream(ReaderStream::with_capacity(file, CHUNK));
    let refused = || format!("docker does not take the image `{name}`");
    docker
        .create_image(Some(options), Some(body), None)
        .try_for_each(|_| async { Ok(()) })
        .await
        .context(ErrorKind::Provider, refused)?;
    let id = docker.inspect_image(&name).await.context(ErrorKind::Provider, refused)?.id;
    let id = id.ok_or_else(|| Error::new(ErrorKind::Provider, refused()))?;
    Ok(Loaded { name, id })
}

/// What an image says beside its files, as instructions of a Dockerfile.
fn image_config(release: &Release) -> Vec<String> {
    vec![
        r#"CMD ["/usr/lib/lian-build/runner-init"]"#.to_owned(),
        "EXPOSE 22".to_owned(),
        format!("LABEL {RECIPE_LABEL}={}", release.recipe),
        format!("LABEL {BUILDKIT_LABEL}={}", release.buildkit),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_starts_the_first_process_and_names_its_recipe() {
        let release = Release { version: "1".into(), recipe: "ab".into(), buildkit: "v2".into() };
        let config = image_config(&release);
        assert!(config.contains(&r#"CMD ["/usr/lib/lian-build/runner-init"]"#.to_owned()));
        assert!(config.contains(&"LABEL lian-runner-recipe=ab".to_owned()));
        assert!(name().starts_with("lian-build-runner:"));
    }

    #[test]
    fn an_image_of_another_recipe_is_told() {
        let with = |recipe: &str| HashMap::from([(RECIPE_LABEL.to_owned(), recipe.to_owned())]);
        assert!(is_of_this_recipe(&with(&super::super::recipe::hash())));
        assert!(!is_of_this_recipe(&with("another")) && !is_of_this_recipe(&HashMap::new()));
    }
}
