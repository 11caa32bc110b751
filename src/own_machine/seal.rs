//! [`seal`]: makes a runner's disk one that many machines can start from.

use crate::error::{Error, ErrorKind, Result};
use crate::lease::Endpoint;
use crate::remote::Session;
use crate::runner_image::{Release, recipe_hash};

const SEAL: &str = include_str!("seal.sh");

/// Takes away what belongs to one machine and one lease, and yields what the disk says of itself then. Nobody can log in
/// afterwards.
///
/// # Errors
/// [`ErrorKind::Runner`] when something stays.
pub async fn seal(session: &Session, endpoint: &Endpoint) -> Result<Release> {
    let (version, recipe) = (env!("CARGO_PKG_VERSION").to_owned(), recipe_hash());
    let argv = ["sh", "-c", SEAL, "seal", &version, &recipe, &endpoint.paths.bin];
    let output = session.run(&argv, None).await?;
    if !output.success() {
        return Err(Error::new(
            ErrorKind::Runner,
            format!("the machine could not be sealed: {}", output.stderr_text()),
        ));
    }
    let buildkit = crate::sanitise::short(output.stdout_text().lines().last().unwrap_or_default(), 40);
    Ok(Release { version, recipe, buildkit })
}
