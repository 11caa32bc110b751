//! [`OnRunner`]: what happens on one leased runner, from the first connection to the results being home.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::attempt::{Facts, Job};
use super::publish::Built;
use super::{evidence, results};
use crate::error::{Error, ErrorKind, Result};
use crate::lease::Endpoint;
use crate::plan::{GB, Network};
use crate::record::{Sampler, SamplerScope};
use crate::remote::Session;
use crate::report::envelope::Steps;
use crate::report::progress::Level;
use crate::report::units;
use crate::solve::buildkitd::{self, BuildkitConfig, DaemonState, RegistryConfig};
use crate::solve::oom::{self, Counters, FailureFacts, Judgement};
use crate::solve::{BuildState, Failure, buildctl, secret_store};
use crate::sync::{self, SyncRequest};

/// How long a short question to the runner may take.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

/// What is said of metrics that are not the build's alone.
const WHOLE_MACHINE: &str = "the build has no cgroup of its own, so its metrics are those of the whole machine";

/// How the work on a runner ended, when nothing went wrong with the runner itself.
#[derive(Debug)]
pub(super) enum Solved {
    /// Built; the results are home or in the registry.
    Succeeded(Built),
    /// The build itself failed.
    Failed(Box<Failure>, Judgement),
    /// Memory ran out.
    OutOfMemory(Box<Failure>, Judgement),
    /// The runner's daemon is gone.
    DaemonLost(Error),
    /// The time budget is used up.
    TimedOut,
}

/// How `buildctl` ended.
enum End {
    Exit(i32),
    TimedOut,
}

/// One leased runner at work.
pub(super) struct OnRunner<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) endpoint: &'a Endpoint,
    pub(super) deadline: Instant,
}

impl OnRunner<'_> {
    /// Connects, sends, solves, fetches.
    ///
    /// # Errors
    /// Faults of the runner or the way to it.
    pub(super) async fn work(&self, facts: &mut Facts) -> Result<Solved> {
        let session = Session::connect(self.endpoint, &self.endpoint.session_dir).await?;
        let solved = self.solve_in(&session, facts).await;
        // The connection's end says nothing about the build; the release ends it for certain.
        if let Err(error) = session.close().await {
            tracing::debug!(%error, "closing the connection");
        }
        solved
    }

    async fn solve_in(&self, session: &Session, facts: &mut Facts) -> Result<Solved> {
        let started = self.job.services.clock.monotonic();
        facts.sync_started = Some(started);
        let made_ready = tokio::time::timeout_at(self.deadline, self.make_ready(session, facts)).await;
        facts.sync_started = None;
        facts.seconds.sync = crate::clock::seconds(self.job.services.clock.monotonic() - started);
        let before = match made_ready {
            Ok(ready) => ready?,
            Err(_) => return Ok(Solved::TimedOut),
        };
        self.job.progress.stage("build");
        crate::failpoint::reach("in-build");
        facts.solve_started = Some(self.job.services.clock.monotonic());
        self.solve(session, &before, facts).await
    }

    /// Everything a solve needs on the runner, side by side: the daemon, the contexts, the Dockerfile, the secrets.
    async fn make_ready(&self, session: &Session, facts: &mut Facts) -> Result<Counters> {
        let wait = self.job.progress.wait("buildkitd on the runner and the context's transfer");
        let config = BuildkitConfig {
            registries: self.job.prepared.plan.solve.insecure_registries.iter().map(|host| plain_http(host)).collect(),
            host_network: self.job.prepared.plan.solve.network == Network::Host,
        };
        // The first fault ends the others: nobody wants to send gigabytes to a runner whose daemon is dead.
        let (started, sent, (), ()) = tokio::try_join!(
            buildkitd::start(session, self.endpoint, &config),
            self.send_contexts(session),
            self.send_dockerfile(session),
            secret_store::put(session, self.endpoint, self.job.secrets),
        )?;
        drop(wait);
        facts.bytes_synced = sent;
        for note in started.notes {
            self.job.progress.message(Level::Info, note);
        }
        evidence::read(session, self.endpoint, None).await
    }

    async fn send_contexts(&self, session: &Session) -> Result<u64> {
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
            let progress = self.job.progress.clone();
            let files = sync::file_list(context);
            let request = SyncRequest {
                source: context.path(),
                files: &files,
                traits: context.traits(),
                destination: &destination,
                shell: session.shell(),
                rsync_program: &rsync,
            };
            let sent = sync::sync(request, |sent| progress.transfer(sent.bytes, Some(total), sent.files)).await?;
            bytes += sent.bytes_sent;
        }
        self.job.progress.message(Level::Info, format!("sent {} of context", units::bytes(bytes)));
        Ok(bytes)
    }

    /// Puts the Dockerfile where nothing else is, with an ignore file that ignores nothing: the context was filtered
    /// before it was sent, and must not be filtered again by other rules.
    async fn send_dockerfile(&self, session: &Session) -> Result<()> {
        const SCRIPT: &str = r#"set -eu
umask 077
mkdir -p -- "$1"
cat > "$1/$2"
echo '# the context was filtered before it was sent' > "$1/$2.dockerignore""#;
        let directory = format!("{}/{}", self.endpoint.paths.run, buildctl::DOCKERFILE_DIR);
        let name = &self.job.prepared.dockerfile.name;
        let argv = ["sh", "-c", SCRIPT, "send-dockerfile", directory.as_str(), name.as_str()];
        session
            .run(&argv, Some(&self.job.prepared.dockerfile.bytes))
            .await?
            .ok("writing the Dockerfile on the runner")
            .map(|_| ())
    }

    async fn solve(&self, session: &Session, before: &Counters, facts: &mut Facts) -> Result<Solved> {
        let sampler = self.start_sampler(session);
        let end = self.run_buildctl(session).await;
        // Read even when the connection broke: what is known of the steps decides about a retry.
        let state = self.job.progress.end_build().await;
        let counts = state.counts();
        facts.steps = Steps { total: u64::from(counts.total), cached: u64::from(counts.cached) };
        facts.steps_started = state.first_step_started().is_some();
        facts.ran_anything = state.ran_anything();
        if let Some(sampler) = sampler {
            let samples = sampler.finish().await;
            facts.metrics = samples.metrics();
            facts.whole_machine = samples.whole_machine();
            if facts.metrics.is_some() && facts.whole_machine {
                facts.warnings.push(WHOLE_MACHINE.to_owned());
            }
        }
        let end = end?;
        if matches!(end, End::TimedOut) {
            return Ok(Solved::TimedOut);
        }
        let reading = evidence::read(session, self.endpoint, before.kernel_log.last);
        let after = tokio::time::timeout(PROBE_LIMIT, reading).await.ok().and_then(Result::ok);
        match end {
            End::Exit(0) => self.succeeded(session, before, after.as_ref(), &state, facts).await,
            End::Exit(code) => self.failed(session, before, after.as_ref(), &state, code, facts).await,
            End::TimedOut => Ok(Solved::TimedOut),
        }
    }

    /// Without metrics a build is still a build.
    fn start_sampler(&self, session: &Session) -> Option<Sampler> {
        let mut child = session
            .spawn(&SamplerScope::from(&self.endpoint.memory).argv())
            .inspect_err(|error| tracing::warn!(%error, "the sampler cannot be started"))
            .ok()?;
        let (stdin, stdout) = (child.stdin(), child.stdout());
        Some(Sampler::start_on(stdin, stdout, child))
    }

    async fn run_buildctl(&self, session: &Session) -> Result<End> {
        let argv = buildctl::remote_argv(&self.job.prepared.plan.solve, &self.endpoint.paths)?;
        let mut child = session.spawn_tied(&argv)?;
        let lost = || Error::new(ErrorKind::Runner, "the streams of `buildctl` are closed");
        let mut stderr = child.stderr().ok_or_else(lost)?;
        // Held open: its end is what stops `buildctl` when we are gone.
        let stdin = child.stdin();
        let follow = async {
            loop {
                let mut chunk = vec![0; 64 << 10];
                match stderr.read(&mut chunk).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => {
                        chunk.truncate(count);
                        self.job.progress.build_output(chunk).await;
                    }
                }
            }
        };
        let ended = tokio::time::timeout_at(self.deadline, async {
            follow.await;
            child.wait().await
        })
        .await;
        drop(stdin);
        match ended {
            Ok(code) => Ok(End::Exit(code?)),
            Err(_) => Ok(End::TimedOut),
        }
    }

    async fn succeeded(
        &self,
        session: &Session,
        before: &Counters,
        after: Option<&Counters>,
        state: &BuildState,
        facts: &mut Facts,
    ) -> Result<Solved> {
        let judgement = oom::judge(false, before, after, &FailureFacts::default(), self.endpoint.into());
        facts.shown_warnings.extend(state.warnings());
        facts.warnings.extend(judgement.warning);
        let metadata = tokio::time::timeout(PROBE_LIMIT, results::Metadata::fetch(session, self.endpoint))
            .await
            .map_err(|_| no_answer())??;
        let wait = self.job.progress.wait("the result's way back");
        let exports = &self.job.prepared.plan.solve.exports;
        let outputs = results::fetch(session, self.endpoint, exports, &mut facts.warnings).await?;
        drop(wait);
        Ok(Solved::Succeeded(Built {
            digest: metadata.digest().map(str::to_owned),
            metadata: metadata.raw().to_vec(),
            outputs,
        }))
    }

    async fn failed(
        &self,
        session: &Session,
        before: &Counters,
        after: Option<&Counters>,
        state: &BuildState,
        code: i32,
        facts: &mut Facts,
    ) -> Result<Solved> {
        let failure = state.failure();
        let judgement = oom::judge(
            true,
            before,
            after,
            &FailureFacts {
                error_text: failure.error.clone(),
                exit_code: failure.exit_code,
                step: failure.step_name.clone(),
                last_lines: failure.log_tail.join("\n"),
                stalled_seconds: None,
            },
            self.endpoint.into(),
        );
        facts.shown_warnings.extend(state.warnings());
        if judgement.verdict.is_memory() {
            if let Some(limit) = judgement.limit_bytes {
                // Memory ran out between two samples: the peak is the limit itself.
                facts.metrics = facts.metrics.map(|metrics| metrics.having_reached(gigabytes(limit)));
            }
            return Ok(Solved::OutOfMemory(Box::new(failure), judgement));
        }
        let diagnosis = tokio::time::timeout(PROBE_LIMIT, buildkitd::diagnose(session, self.endpoint))
            .await
            .map_err(|_| no_answer())??;
        if diagnosis.state == DaemonState::Running {
            // `buildctl` itself ends with 1 and a word. Anything else is the runner's fault, not the build's.
            if code == 1 && !failure.error.is_empty() {
                return Ok(Solved::Failed(Box::new(failure), judgement));
            }
            let said: Vec<&str> = state.client_lines().collect();
            return Ok(Solved::DaemonLost(
                Error::new(ErrorKind::Runner, format!("`buildctl` on the runner ended with exit code {code}"))
                    .hint(format!("its last words: {}", said.join(" · "))),
            ));
        }
        let how = match diagnosis.state {
            DaemonState::Running => "is running".to_owned(),
            DaemonState::Exited { code } => format!("ended with exit code {code}"),
            DaemonState::Killed { signal } => format!("was ended by signal {signal}"),
            DaemonState::Gone => "is gone".to_owned(),
        };
        Ok(Solved::DaemonLost(
            Error::new(ErrorKind::Runner, format!("`buildkitd` on the runner {how} during the build"))
                .hint(format!("its last words: {}", diagnosis.log_tail.trim())),
        ))
    }
}

fn no_answer() -> Error {
    Error::new(ErrorKind::Runner, format!("the runner did not answer within {} s", PROBE_LIMIT.as_secs()))
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / GB as f64
}

fn plain_http(host: &str) -> RegistryConfig {
    RegistryConfig { host: host.to_owned(), http: true, ..RegistryConfig::default() }
}
