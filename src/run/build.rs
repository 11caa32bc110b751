//! [`build`]: attempts until one decides, and the envelope that says what happened.

use std::collections::BTreeSet;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretSlice};

use super::attempt::{Attempted, End, Job, attempt};
use super::retry::{NoOomRetry, RetryBudget};
use super::{Prepared, Services, Signals, prepare, results};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::events::{Event, EventPublisher, EventsConfig};
use crate::ids::RunId;
use crate::inputs::dockerfile;
use crate::inputs::request::BuildRequest;
use crate::plan::{Export, Purpose, Tier};
use crate::provider::ComputeProvider;
use crate::provider::local::{LocalConfig, LocalProvider};
use crate::record::AttemptRecord;
use crate::registry::{Client, ClientOptions, DockerConfig, Reference};
use crate::report::envelope::{Envelope, Image, SizingInfo, Status};
use crate::report::failure::render_failure;
use crate::report::progress::{Level, Progress};
use crate::solve::oom::{Judgement, NoRetry};
use crate::solve::secret_store::SecretFile;
use crate::solve::{Failure, buildctl};

/// How the hint begins that names the log file.
pub const LOG_HINT: &str = "the full log is";

/// What a run says at its end, besides the envelope.
#[derive(Debug)]
pub struct Outcome {
    /// The one result.
    pub envelope: Envelope,
    /// The failing step with its last lines, ready for a terminal.
    pub failure: Option<String>,
}

/// Builds. Every path ends with an envelope, and with every runner of this run released or named.
pub async fn build(
    run_id: RunId,
    request: &BuildRequest,
    services: &Services,
    progress: &Progress,
    signals: &Signals,
) -> Outcome {
    let mut run = Run {
        request,
        services,
        progress,
        signals,
        envelope: Envelope::new("build", run_id, request.workspace.clone()),
        failure: None,
        publisher: None,
    };
    let ended = run.drive(run_id).await;
    run.end(ended).await
}

struct Run<'a> {
    request: &'a BuildRequest,
    services: &'a Services,
    progress: &'a Progress,
    signals: &'a Signals,
    envelope: Envelope,
    failure: Option<String>,
    publisher: Option<EventPublisher>,
}

/// What the last attempt brought.
struct Built {
    digest: Option<String>,
    metadata: Vec<u8>,
    outputs: Vec<String>,
}

impl Run<'_> {
    async fn drive(&mut self, run_id: RunId) -> Result<()> {
        let token = self.signals.token().clone();
        // Until a lease stands a signal simply ends the run: nothing is there to be released.
        let (prepared, provider, client, secrets) = tokio::select! {
            biased;
            () = token.cancelled() => return Err(self.cancelled()),
            ready = self.get_ready() => ready?,
        };
        let built = self.attempts(run_id, &prepared, &provider, &secrets).await?;
        self.publish_results(&prepared, &client, built).await
    }

    /// Inputs, plan, secrets and logins: what can be refused is refused here, before anything is paid for.
    async fn get_ready(&mut self) -> Result<(Prepared, LocalProvider, Client, Vec<SecretFile>)> {
        let prepared = prepare(self.request, self.services).await?;
        self.envelope.workspace = Some(prepared.plan.workspace.clone());
        self.envelope.sizing = Some(SizingInfo::from(&prepared.plan.sizing));
        self.warn_all(prepared.warnings.iter().cloned());
        self.announce(&prepared);
        if self.request.load {
            results::check_docker().await?;
        }
        let secrets = crate::inputs::secret::load_all(&self.request.secrets, &self.services.environment)?;
        let logins = Arc::new(DockerConfig::load(&self.services.environment)?);
        let options = ClientOptions { insecure: self.request.insecure_registries.clone(), ..ClientOptions::default() };
        let client = Client::new(options, Arc::clone(&logins));
        for reference in pushed(&prepared) {
            let _wait = self.progress.wait(&format!("{} to allow the push", reference.host()));
            client.check_push(&reference).await?;
        }
        let mut files: Vec<SecretFile> = Vec::new();
        for secret in secrets {
            files.push((buildctl::secret_file(secret.id.as_str()), secret.value));
        }
        let hosts = registry_hosts(&prepared);
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let config: SecretSlice<u8> = logins.minimal_config(&hosts).await?;
        if !config.expose_secret().is_empty() {
            files.push((format!("{}/config.json", buildctl::DOCKER_CONFIG_DIR), config));
        }
        let mut config = LocalConfig::from_environment(&self.services.environment, &self.services.dirs)?;
        config.queue_timeout = self.request.queue_timeout;
        let provider = LocalProvider::new(config);
        self.sweep(&provider).await;
        Ok((prepared, provider, client, files))
    }

    /// Says what is about to happen, in the order a reader asks: what, how big and why, where.
    fn announce(&mut self, prepared: &Prepared) {
        let plan = &prepared.plan;
        let sizing = &plan.sizing;
        self.progress.message(
            Level::Info,
            format!(
                "workspace {} · {} ({} cpu, {} GB) · {}",
                plan.workspace, sizing.runner_type, sizing.cpu, sizing.memory_gb, sizing.reason
            ),
        );
        for note in &plan.notes {
            self.progress.message(Level::Info, note.clone());
        }
        if let Some(warning) = crate::inputs::context::large_context_warning(&prepared.context) {
            self.progress.message(Level::Warning, warning);
        }
    }

    /// What earlier runs left behind when they were killed. A failing sweep never stops a build.
    async fn sweep(&mut self, provider: &LocalProvider) {
        match provider.sweep_abandoned().await {
            Ok(swept) if swept.is_empty() => {}
            Ok(swept) => {
                let names: Vec<String> = swept.iter().map(ToString::to_string).collect();
                self.progress.message(Level::Info, format!("removed abandoned runners: {}", names.join(", ")));
            }
            Err(error) => self.warn(format!("abandoned runners could not be swept: {error}")),
        }
    }

    async fn attempts(
        &mut self,
        run_id: RunId,
        prepared: &Prepared,
        provider: &dyn ComputeProvider,
        secrets: &[SecretFile],
    ) -> Result<Built> {
        self.publisher = Some(EventPublisher::start(self.events_config(prepared), Arc::clone(&self.services.clock)));
        let mut tier = prepared.plan.sizing.tier.clone();
        let mut budget = RetryBudget::default();
        let mut number = 1;
        let mut ran_out: Option<(Judgement, Tier)> = None;
        let started = std::sync::atomic::AtomicBool::new(false);
        loop {
            self.progress.attempt(number, &tier.name);
            let attempted = {
                let (publisher, envelope) = (self.publisher.as_ref(), &self.envelope);
                let on_lease = || {
                    if !started.swap(true, std::sync::atomic::Ordering::Relaxed)
                        && let Some(publisher) = publisher
                    {
                        publisher.publish(Event::Started, envelope);
                    }
                };
                let job = Job {
                    run_id,
                    prepared,
                    services: self.services,
                    provider,
                    secrets,
                    progress: self.progress,
                    signals: self.signals,
                    on_lease: &on_lease,
                };
                attempt(&job, number, &tier).await
            };
            if !started.load(std::sync::atomic::Ordering::Relaxed) {
                // A refusal before a lease sends nothing.
                self.publisher = None;
            }
            let was_leased = attempted.facts.endpoint.is_some();
            if was_leased || attempted.released.is_err() {
                self.envelope.attempts.push(attempted.to_envelope(number, provider.name(), &tier));
            }
            self.warn_all(attempted.facts.warnings.iter().cloned());
            if was_leased {
                self.record(run_id, prepared, number, &tier, &attempted).await;
            }
            attempted.released?;
            let next = match attempted.end {
                End::Succeeded { digest, metadata, outputs } => return Ok(Built { digest, metadata, outputs }),
                End::Cancelled => return Err(self.cancelled()),
                End::TimedOut => return Err(timed_out(prepared)),
                End::Failed(failure, judgement) => return Err(self.build_failed(&failure, &judgement)),
                End::Broken(error) => return Err(error),
                // The retry cannot be leased: the answer is the memory that ran out, not a lack of machines.
                End::NoLease(error) if error.kind() == ErrorKind::NoCapacity && ran_out.is_some() => {
                    let reason = error.message();
                    let next = NoRetry::NextDoesNotFit { next: &tier, reason: &reason };
                    return Err(
                        ran_out.map_or(error, |(judgement, on): (Judgement, Tier)| judgement.final_error(&on, next))
                    );
                }
                End::NoLease(error) => self.after_fault(error, false, &mut budget, &tier)?,
                End::Lost(error) => self.after_fault(error, attempted.facts.steps_started, &mut budget, &tier)?,
                End::OutOfMemory(judgement) => {
                    let retry = budget.after_oom(&tier, &prepared.tiers, prepared.plan.sizing.oom_retry).cloned();
                    let next = self.after_oom(prepared, &judgement, &tier, retry)?;
                    ran_out = Some((judgement, tier.clone()));
                    next
                }
            };
            if let Some(publisher) = &self.publisher {
                publisher.publish(Event::Retrying { attempt: number }, &self.envelope);
            }
            tier = next;
            number += 1;
        }
    }

    /// The tier of the one retry, or the final word.
    fn after_oom(
        &mut self,
        prepared: &Prepared,
        judgement: &Judgement,
        tier: &Tier,
        retry: Result<Tier, NoOomRetry>,
    ) -> Result<Tier> {
        let above = prepared.tiers.next_above(tier);
        match retry {
            Ok(next) => {
                let victim = judgement.victim.as_deref().unwrap_or("a process");
                self.progress.message(
                    Level::Warning,
                    format!(
                        "memory ran out on {} ({victim} was killed): once more on {} ({} GB)",
                        tier.name, next.name, next.memory_gb
                    ),
                );
                Ok(next)
            }
            Err(NoOomRetry::SwitchedOff) => Err(judgement.final_error(tier, NoRetry::SwitchedOff { next: above })),
            Err(NoOomRetry::UsedUp) => Err(judgement.final_error(tier, NoRetry::UsedUp { next: above })),
            Err(NoOomRetry::NoNextTier) => Err(judgement.final_error(tier, NoRetry::NoNextTier)),
        }
    }

    fn after_fault(
        &mut self,
        error: Error,
        steps_had_started: bool,
        budget: &mut RetryBudget,
        tier: &Tier,
    ) -> Result<Tier> {
        // A refusal is an answer; only faults are worth another try.
        let is_fault = matches!(error.kind(), ErrorKind::Runner);
        if is_fault && budget.after_infrastructure_fault(steps_had_started) {
            self.warn(format!("the runner failed, trying once more on a new one: {error}"));
            return Ok(tier.clone());
        }
        Err(error)
    }

    fn build_failed(&mut self, failure: &Failure, judgement: &Judgement) -> Error {
        self.failure = Some(render_failure(failure, self.progress.log_path(), self.progress.color()));
        let what = match &failure.step_name {
            Some(step) => format!("the step `{step}` failed"),
            None => "the build failed".to_owned(),
        };
        let mut error = Error::new(ErrorKind::Build, format!("{what}: {}", failure.error.trim()));
        if judgement.disk_full {
            error = error.hint("the runner's disk is full: write a larger `disk_gb` into `.build-spec.ncl`");
        }
        if let Some(log) = self.progress.log_path() {
            error = error.hint(format!("{LOG_HINT} `{}`", log.display()));
        }
        error
    }

    async fn record(&mut self, run_id: RunId, prepared: &Prepared, number: u32, tier: &Tier, attempted: &Attempted) {
        let facts = &attempted.facts;
        let Some(endpoint) = &facts.endpoint else { return };
        // An attempt whose steps all came from the cache says nothing about what the next one needs.
        let all_cached = facts.steps.total > 0 && facts.steps.cached == facts.steps.total;
        let record = AttemptRecord {
            run_id,
            workspace: prepared.plan.workspace.clone(),
            platform: prepared.platform.clone(),
            build_kind: prepared.plan.build_kind.as_str().to_owned(),
            actor: self.request.actor,
            attempt: number,
            runner_type: tier.name.clone(),
            cpu: f64::from(endpoint.effective_cpu),
            memory_gb: tier.memory_gb,
            outcome: attempted.outcome(),
            metrics: facts.metrics.filter(|_| !all_cached),
            seconds: facts.seconds.lease + facts.seconds.sync + facts.seconds.solve,
            at: self.services.clock.now(),
        };
        if let Err(error) = self.services.store.record(record).await {
            self.warn(format!("the attempt could not be recorded, so it will not count for later sizes: {error}"));
        }
    }

    /// Reads the digest back and writes what was asked for beside the image.
    async fn publish_results(&mut self, prepared: &Prepared, client: &Client, built: Built) -> Result<()> {
        self.envelope.outputs = built.outputs;
        let mut digest = built.digest;
        let pushed = pushed(prepared);
        for reference in &pushed {
            let held = client.manifest_digest(reference).await?;
            if let Some(said) = digest.as_deref().filter(|said| *said != held) {
                return Err(Error::new(
                    ErrorKind::Network,
                    format!("`{reference}` is `{held}` in the registry, but this build pushed `{said}`"),
                )
                .hint("somebody else may have pushed the same tag at the same time; build again"));
            }
            digest = Some(held);
        }
        let names = self.image_names(prepared);
        if let Some(digest) = digest.filter(|_| makes_image(prepared)) {
            if let Some(file) = &self.request.iidfile {
                std::fs::write(file, &digest)
                    .context(ErrorKind::State, || format!("cannot write `{}`", file.display()))?;
            }
            self.envelope.image = Some(Image {
                references: names,
                digest,
                platform: prepared.platform.clone(),
                pushed: !pushed.is_empty(),
            });
        }
        if let Some(file) = &self.request.metadata_file {
            std::fs::write(file, &built.metadata)
                .context(ErrorKind::State, || format!("cannot write `{}`", file.display()))?;
        }
        if prepared.plan.solve.exports.iter().any(|export| export.purpose == Purpose::Discarded) {
            self.warn("the image was built and went away with the runner: `--push=false` and no `--output`".to_owned());
        }
        Ok(())
    }

    fn image_names(&self, prepared: &Prepared) -> Vec<String> {
        let mut names: Vec<String> = prepared
            .plan
            .solve
            .exports
            .iter()
            .flat_map(|export| export.spec.references().unwrap_or_default())
            .map(|reference| reference.to_string())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn events_config(&self, prepared: &Prepared) -> EventsConfig {
        EventsConfig {
            workspace: prepared.plan.workspace.clone(),
            prefix: self.request.subject_prefix.clone(),
            file: self.request.events_file.clone(),
            nats: self.request.nats.clone(),
            state: self.services.dirs.state.clone(),
        }
    }

    fn cancelled(&self) -> Error {
        match self.signals.received() {
            Some(signal) => Error::new(ErrorKind::Cancelled(signal), format!("ended by {signal}")),
            None => Error::new(ErrorKind::State, "the run was cancelled"),
        }
    }

    fn warn(&mut self, text: String) {
        self.progress.message(Level::Warning, text.clone());
        self.envelope.warnings.push(text);
    }

    fn warn_all(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            self.warn(text);
        }
    }

    /// Fills in the envelope and sends the last event; after every release.
    async fn end(mut self, ended: Result<()>) -> Outcome {
        match &ended {
            Ok(()) => self.envelope.succeed(Status::Succeeded),
            Err(error) => self.envelope.fail(error),
        }
        if let Some(publisher) = self.publisher.take() {
            let event = if ended.is_ok() { Event::Completed } else { Event::Failed };
            publisher.publish(event, &self.envelope);
            let warnings = publisher.finish().await;
            self.warn_all(warnings);
        }
        Outcome { envelope: self.envelope, failure: self.failure }
    }
}

fn timed_out(prepared: &Prepared) -> Error {
    let minutes = prepared.plan.sizing.time_budget_min;
    Error::new(ErrorKind::TimeBudget, format!("the time budget of {minutes} min is used up"))
        .hint("write a larger `time_budget_min` into `.build-spec.ncl`")
}

fn pushed(prepared: &Prepared) -> Vec<Reference> {
    prepared.plan.solve.exports.iter().flat_map(Export::pushed_references).collect()
}

fn makes_image(prepared: &Prepared) -> bool {
    use crate::inputs::output::OutputKind;
    prepared
        .plan
        .solve
        .exports
        .iter()
        .any(|export| matches!(export.spec.kind, OutputKind::Image | OutputKind::Docker | OutputKind::Oci))
}

/// The registries this build talks to: those it pushes to and those its base images come from. No other login leaves
/// this machine.
fn registry_hosts(prepared: &Prepared) -> BTreeSet<String> {
    let solve = &prepared.plan.solve;
    let mut hosts: BTreeSet<String> = pushed(prepared).iter().map(|reference| reference.host().to_owned()).collect();
    for context in &solve.contexts {
        if let crate::inputs::build_arg::ContextSource::Image(reference) = &context.source {
            hosts.insert(reference.host().to_owned());
        }
    }
    hosts.extend(dockerfile::image_hosts(&prepared.dockerfile.bytes, &solve.build_args));
    hosts
}
