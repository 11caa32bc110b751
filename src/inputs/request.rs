//! [`BuildRequest`]: what the caller asked for, after flags and environment were read. Knows nothing of clap.

use std::path::PathBuf;
use std::time::Duration;

use crate::events::NatsConfig;
use crate::ids::{Actor, ActorId, Workspace};
use crate::inputs::attestation::Attestations;
use crate::inputs::build_arg::{BuildContext, KeyValue};
use crate::inputs::cache_wish::CacheWish;
use crate::inputs::candidate::Candidate;
use crate::inputs::origin::Origin;
use crate::inputs::output::OutputSpec;
use crate::inputs::runner_wish::RunnerWish;
use crate::inputs::secret::SecretSpec;
use crate::inputs::ssh_agent::SshAgent;
use crate::inputs::vouched::Vouched;
use crate::plan::{Network, NoCache};
use crate::registry::Reference;

/// What the caller asked for.
#[derive(Debug)]
pub struct BuildRequest {
    /// The context directory, absolute.
    pub context: PathBuf,
    /// The directives that were read, absolute.
    pub directives_file: Option<PathBuf>,
    /// The files that they import, absolute.
    pub imported_files: Vec<PathBuf>,
    /// The Dockerfile, absolute, where one was named.
    pub dockerfile: Option<PathBuf>,
    /// Names of the image.
    pub references: Vec<Reference>,
    /// Whether named images are pushed.
    pub push: bool,
    /// Whether the image goes into the local Docker.
    pub load: bool,
    /// Further results.
    pub outputs: Vec<OutputSpec>,
    /// Where BuildKit's metadata goes.
    pub metadata_file: Option<PathBuf>,
    /// Where the digest goes.
    pub iidfile: Option<PathBuf>,
    /// The stage to build.
    pub target: Option<String>,
    /// Build arguments.
    pub build_args: Vec<KeyValue>,
    /// Labels.
    pub labels: Vec<KeyValue>,
    /// Named contexts.
    pub contexts: Vec<BuildContext>,
    /// Secrets for build steps.
    pub secrets: Vec<SecretSpec>,
    /// SSH agents for build steps.
    pub ssh: Vec<SshAgent>,
    /// What is attested about the image.
    pub attestations: Attestations,
    /// Which steps may not come from the cache.
    pub no_cache: NoCache,
    /// Ask registries for the newest base images.
    pub pull: bool,
    /// The platform, where one was named.
    pub platform: Option<String>,
    /// Extra lines of /etc/hosts, `name=ip`.
    pub add_hosts: Vec<String>,
    /// The network of build steps.
    pub network: Network,
    /// Size of /dev/shm in bytes.
    pub shm_size: Option<u64>,
    /// Registries spoken to over plain HTTP.
    pub insecure_registries: Vec<String>,
    /// Who may lease the runner, in order; empty when nobody said.
    pub candidates: Vec<Candidate>,
    /// How long to wait for a provider that has no room.
    pub wait_capacity: Duration,
    /// What was asked of the runner.
    pub runner: RunnerWish,
    /// A tiers file.
    pub tiers_file: Option<PathBuf>,
    /// Whose the runners are, where it was said.
    pub owner: Option<String>,
    /// How long a runner is kept after a failure; `None` releases it at once.
    pub keep_failed: Option<Duration>,
    /// How long to wait for memory that other local builds hold.
    pub queue_timeout: Duration,
    /// The workspace, where one was named.
    pub workspace: Option<Workspace>,
    /// What kind of caller.
    pub actor: Actor,
    /// Who builds.
    pub actor_id: ActorId,
    /// Which of these the caller stands for.
    pub vouched: Vouched,
    /// What was asked of the shared caches.
    pub cache: CacheWish,
    /// Where events go.
    pub nats: Option<NatsConfig>,
    /// First tokens of event subjects.
    pub subject_prefix: crate::events::SubjectPrefix,
    /// A file that events are appended to.
    pub events_file: Option<PathBuf>,
    /// Where every value came from.
    pub origins: Vec<Origin>,
    /// What the caller should know about these values.
    pub warnings: Vec<String>,
}
