//! SSH keys made for one lease, with `ssh-keygen`.

use std::path::Path;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::lease::AuthorizedKey;
use crate::process::Cmd;

/// Makes a key pair: the private half in `file`, the public one beside it.
pub(in crate::provider) async fn generate(ssh_keygen: &Path, file: &Path) -> Result<()> {
    let output = Cmd::new(ssh_keygen, ErrorKind::Provider)
        .plain_env()
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(file)
        .output()
        .await?;
    if output.success() {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Provider, format!("cannot make an SSH key: {}", output.stderr_text())))
    }
}

/// The public half, as `known_hosts` and `authorized_keys` write it.
pub(in crate::provider) async fn read_public(file: &Path) -> Result<String> {
    let file = file.with_extension("pub");
    let text = tokio::fs::read_to_string(&file)
        .await
        .context(ErrorKind::Provider, || format!("cannot read the SSH key `{}`", file.display()))?;
    Ok(text.trim().to_owned())
}

/// The text of an `authorized_keys` that lets the provider's own key in, and those of who it is leased for.
pub(in crate::provider) fn authorized_keys(own: &str, others: &[AuthorizedKey]) -> String {
    std::iter::once(own).chain(others.iter().map(AuthorizedKey::as_str)).map(|key| format!("{key}\n")).collect()
}
