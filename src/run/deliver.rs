//! What a build needs of the caller's machine: the contexts and the Dockerfile.

use super::on_runner::OnRunner;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::report::progress::Level;
use crate::report::units;
use crate::solve::{buildctl, source_policy};
use crate::sync::{self, SyncRequest};

impl OnRunner<'_> {
    /// Sends every context; one that is cut short goes on where it was. Yields the bytes that were sent.
    pub(super) async fn send_contexts(&self) -> Result<u64> {
        let rsync = self.job.services.environment.find_program("rsync").ok_or_else(|| {
            Error::new(ErrorKind::State, "`rsync` was not found in `PATH`").hint("install the package `rsync`")
        })?;
        let mut bytes = 0;
        let prepared = self.job.prepared;
        let main = std::iter::once((self.endpoint.paths.context.clone(), &prepared.context));
        let extra = prepared
            .extra_contexts
            .iter()
            .map(|(name, context)| (buildctl::extra_context_path(&self.endpoint.paths, name), context));
        for (destination, context) in main.chain(extra) {
            let total = context.totals().bytes;
            let files = sync::file_list(context);
            let send = async |session: &crate::remote::Session| {
                let request = SyncRequest {
                    source: context.path(),
                    files: &files,
                    traits: context.traits(),
                    destination: &destination,
                    shell: session.shell(),
                    rsync_program: &rsync,
                };
                sync::sync(request, |sent| self.job.progress.transfer(sent.bytes, Some(total), sent.files)).await
            };
            bytes += self.link.repeat(send).await?.bytes_sent;
        }
        self.job.progress.message(Level::Info, format!("sent {} of context", units::bytes(bytes)));
        Ok(bytes)
    }

    /// Puts the Dockerfile where nothing else is, with an ignore file that ignores nothing: the context was filtered
    /// before it was sent, and must not be filtered again by other rules.
    pub(super) async fn send_dockerfile(&self) -> Result<()> {
        const SCRIPT: &str = r#"set -eu
umask 077
mkdir -p -- "$1"
cat > "$1/$2"
echo '# the context was filtered before it was sent' > "$1/$2.dockerignore""#;
        let directory = format!("{}/{}", self.endpoint.paths.run, buildctl::DOCKERFILE_DIR);
        let dockerfile = &self.job.prepared.dockerfile;
        let argv = ["sh", "-c", SCRIPT, "send-dockerfile", directory.as_str(), dockerfile.name.as_str()];
        let written = self.link.repeat(async |session| session.run(&argv, Some(&dockerfile.bytes)).await).await?;
        written.ok("writing the Dockerfile on the runner").map(drop)
    }

    /// Sends what BuildKit may pull, where the operator's policy says it.
    ///
    /// # Errors
    /// When the runner cannot take it.
    pub(super) async fn send_source_policy(&self) -> Result<()> {
        const SCRIPT: &str = r#"umask 077 && mkdir -p -- "$1" && cat > "$1/$2""#;
        let Some(pull_from) = &self.job.prepared.plan.solve.pull_from else { return Ok(()) };
        let run = &self.endpoint.paths.run;
        let document = source_policy::document(pull_from)
            .context(ErrorKind::State, || "BuildKit's source policy cannot be written".to_owned())?;
        let argv = ["sh", "-c", SCRIPT, "send-source-policy", run, buildctl::SOURCE_POLICY_FILE];
        let written = self.link.repeat(async |session| session.run(&argv, Some(&document)).await).await?;
        written.ok("writing BuildKit's source policy on the runner").map(drop)
    }
}
