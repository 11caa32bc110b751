//! What is done with a finished build once its runner is gone: the digest is read back from the registry, and the files
//! beside the image are written.

use std::path::Path;

use super::build::Run;
use super::ready::Ready;
use crate::error::{Context as _, ErrorKind, Result};
use crate::plan::{Purpose, Solve};
use crate::report::envelope::Image;

/// What a successful attempt brought.
#[derive(Debug)]
pub(super) struct Built {
    /// The digest BuildKit names, when an image was made.
    pub(super) digest: Option<String>,
    /// BuildKit's metadata.
    pub(super) metadata: Vec<u8>,
    /// Where the results are.
    pub(super) outputs: Vec<String>,
}

/// Completes the envelope of a build that succeeded.
///
/// # Errors
/// When the registry does not hold what was pushed, or a file cannot be written.
pub(super) async fn publish(run: &mut Run<'_>, ready: &Ready, built: Built) -> Result<()> {
    let solve = &ready.prepared.plan.solve;
    run.envelope.outputs = built.outputs;
    let digest = read_back(run, ready, built.digest).await?;
    let digest = digest.filter(|_| solve.images() > 0);
    if let Some(digest) = &digest {
        run.envelope.image = Some(Image {
            references: image_names(solve),
            digest: digest.clone(),
            platform: ready.prepared.platform.clone(),
            pushed: !solve.pushed_references().is_empty(),
        });
    }
    if solve.exports.iter().any(|export| export.purpose == Purpose::Discarded) {
        run.warn("the image was built and went away with the runner: `--push=false` and no `--output`".to_owned());
    }
    if let (Some(file), Some(digest)) = (&run.request.iidfile, &digest) {
        write(file, digest.as_bytes())?;
    }
    if let Some(file) = &run.request.metadata_file {
        write(file, &built.metadata)?;
    }
    Ok(())
}

/// The digest as the registry says it. BuildKit's own word stands when nothing was pushed.
async fn read_back(run: &mut Run<'_>, ready: &Ready, said: Option<String>) -> Result<Option<String>> {
    let solve = &ready.prepared.plan.solve;
    let mut digest = said.clone();
    for reference in solve.pushed_references() {
        let held = {
            let _wait = run.progress.wait(&format!("{} to say what it holds", reference.host()));
            ready.client.manifest_digest(&reference).await?
        };
        // With several images BuildKit names only one digest, and it may be another's.
        match said.as_ref().filter(|said| solve.images() == 1 && **said != held) {
            None => digest = Some(held),
            Some(said) => {
                // Somebody pushed the same tag since. What we pushed is there all the same, or this fails.
                ready.client.manifest_digest(&reference.at_digest(said)?).await?;
                run.warn(format!(
                    "`{reference}` is `{held}` in the registry by now: somebody else pushed it after this build did"
                ));
            }
        }
    }
    Ok(digest)
}

fn image_names(solve: &Solve) -> Vec<String> {
    let references = solve.exports.iter().flat_map(|export| export.spec.references().unwrap_or_default());
    let mut names: Vec<String> = references.map(|reference| reference.to_string()).collect();
    names.sort();
    names.dedup();
    names
}

/// Writes beside the file first, so that nobody reads half of it.
fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let place = || format!("cannot write `{}`", file.display());
    let parent = file.parent().unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(parent).context(ErrorKind::State, place)?;
    beside.write_all(bytes).context(ErrorKind::State, place)?;
    beside.persist(file).context(ErrorKind::State, place)?;
    Ok(())
}
