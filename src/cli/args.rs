//! The command line as clap sees it. Nothing outside `cli` looks at these types.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::check::CheckArgs;
use super::init::InitArgs;
use super::runners::RunnersArgs;
use super::schema::SchemaArgs;
use super::serve::ServeArgs;
use crate::ids::Actor;
use crate::report::progress::Mode;

/// Builds container images on a BuildKit machine of the right size that exists for exactly as long as the build.
#[derive(Debug, Parser)]
#[command(name = "lian-build", version, propagate_version = true, max_term_width = 120)]
#[command(
    after_help = "Exit codes: 0 built · 1 the build failed · 2 bad usage or spec · 3 out of memory · 4 no capacity · \
5 provider, network or runner fault · 6 time budget used up · 7 a release could not be confirmed · 8 secret or login \
refused · 129/130/143 ended by SIGHUP/SIGINT/SIGTERM, after the release"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// Diagnostics on stderr; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image or files from a directory
    #[command(alias = "dispatch")]
    Build(Box<BuildArgs>),
    /// Show what `build` would do with the same arguments, and why; has no side effect
    Plan(Box<PlanArgs>),
    /// Write what a project needs to be built here: a spec, directives and, for Rust, a Dockerfile; replaces nothing
    Init(InitArgs),
    /// Tell everything that is wrong with specs, directives, policies and tiers files
    Check(CheckArgs),
    /// Look at runners, remove what is left of them, get into one
    Runners(RunnersArgs),
    /// Lease runners to others over HTTP: the vm-pool API over any provider
    Serve(Box<ServeArgs>),
    /// Write the schemas of what is read and written to files, for editors and agents; show one of them
    Schema(SchemaArgs),
    /// Write the shell completion script
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual page
    Man,
}

/// How a result is written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A few lines for people
    Human,
    /// One JSON document
    Json,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub build: BuildArgs,

    /// Show where every value comes from
    #[arg(long, help_heading = "Output")]
    pub explain: bool,

    /// Compare with an earlier `plan --format json`: exit 0 when nothing is reached newly (secrets, registries, paths, networks,
    /// a larger or less isolated machine, money), else 2 with each item
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub against: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The directory to build [default: the current directory]
    #[arg(value_name = "CONTEXT", value_hint = clap::ValueHint::DirPath)]
    pub context: Option<PathBuf>,

    /// The same as CONTEXT
    #[arg(long = "context", value_name = "DIR", conflicts_with = "context", hide = true, id = "context_flag")]
    pub context_flag: Option<PathBuf>,

    /// Name of the image; naming it pushes it (can be repeated)
    #[arg(short = 't', long = "tag", visible_alias = "image", value_name = "NAME", help_heading = "Result")]
    pub tags: Vec<String>,

    /// Push the named image; `--push=false` does not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          help_heading = "Result")]
    pub push: Option<bool>,

    /// Load the image into the local Docker
    #[arg(long, help_heading = "Result")]
    pub load: bool,

    /// Where the result goes, in buildctl's syntax: `type=oci|docker|tar|local,dest=PATH` (can be repeated)
    #[arg(short = 'o', long = "output", value_name = "SPEC", help_heading = "Result")]
    pub outputs: Vec<String>,

    /// Write BuildKit's result metadata to a file
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    pub metadata_file: Option<PathBuf>,

    /// Write the image digest to a file
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    pub iidfile: Option<PathBuf>,

    /// Attest how the image was made: `min`, or `max` with every step and the values of build arguments; alone it is
    /// `min`. Nothing is attested by default, so that a digest is that of the plain image
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          help_heading = "Result")]
    pub provenance: Option<String>,

    /// Attest what is in the image: `true`, or `generator=IMAGE` for the image that looks into it
    #[arg(long, value_name = "BOOL|SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          help_heading = "Result")]
    pub sbom: Option<String>,

    /// Either of these in buildx's long form: `type=provenance|sbom,…` (can be repeated)
    #[arg(long, value_name = "SPEC", help_heading = "Result")]
    pub attest: Vec<String>,

    /// Dockerfile [default: CONTEXT/Dockerfile]
    #[arg(short = 'f', long = "file", visible_alias = "dockerfile", value_name = "PATH", help_heading = "Build")]
    pub file: Option<PathBuf>,

    /// Stage to build
    #[arg(long, value_name = "STAGE", help_heading = "Build")]
    pub target: Option<String>,

    /// Build argument; without a value it is taken from the environment (can be repeated)
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]", help_heading = "Build")]
    pub build_args: Vec<String>,

    /// Label of the image (can be repeated)
    #[arg(long = "label", value_name = "NAME=VALUE", help_heading = "Build")]
    pub labels: Vec<String>,

    /// Another named context: a directory or `docker-image://REF` (can be repeated)
    #[arg(long = "build-context", value_name = "NAME=SOURCE", help_heading = "Build")]
    pub build_contexts: Vec<String>,

    /// Secret for `RUN --mount=type=secret`: `id=ID[,src=FILE|,env=NAME]` (can be repeated)
    #[arg(long = "secret", value_name = "SPEC", help_heading = "Build")]
    pub secrets: Vec<String>,

    /// SSH agent for `RUN --mount=type=ssh`: `default` alone takes $SSH_AUTH_SOCK, `ID=SOCKET` another one (can be
    /// repeated)
    #[arg(long = "ssh", value_name = "ID[=SOCKET]", help_heading = "Build")]
    pub ssh: Vec<String>,

    /// Do not use the build cache
    #[arg(long, help_heading = "Build")]
    pub no_cache: bool,

    /// Do not use the build cache for these stages (can be repeated)
    #[arg(long, value_name = "STAGE", help_heading = "Build", conflicts_with = "no_cache")]
    pub no_cache_filter: Vec<String>,

    /// Always ask the registry for the newest base images
    #[arg(long, help_heading = "Build")]
    pub pull: bool,

    /// Platform to build for; the runner's own [example: linux/arm64]
    #[arg(long, value_name = "PLATFORM", help_heading = "Build")]
    pub platform: Vec<String>,

    /// Extra line for /etc/hosts of build steps: `NAME:IP` (can be repeated)
    #[arg(long = "add-host", value_name = "NAME:IP", help_heading = "Build")]
    pub add_hosts: Vec<String>,

    /// Network of build steps
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Build")]
    pub network: Option<NetworkArg>,

    /// Size of /dev/shm of build steps, in bytes
    #[arg(long, value_name = "BYTES", help_heading = "Build")]
    pub shm_size: Option<u64>,

    /// Registry that is spoken to over plain HTTP (can be repeated)
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]", help_heading = "Build")]
    pub insecure_registries: Vec<String>,

    /// Machine size, by its tier's name
    #[arg(long, value_name = "TIER", help_heading = "Runner")]
    pub runner_type: Option<String>,

    /// File with other tiers than the built-in ones, in Nickel
    #[arg(long, value_name = "FILE", help_heading = "Runner")]
    pub tiers: Option<PathBuf>,

    /// Who leases the runner: `local` or `docker_local`; repeated, the first that can [default: local as root, else
    /// docker_local where Docker answers, else local]
    #[arg(long, value_name = "NAME", help_heading = "Runner")]
    pub provider: Vec<String>,

    /// How long to wait when no provider has room [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Runner")]
    pub wait_capacity: Option<std::time::Duration>,

    /// Private key for runners that do not get one of their own [env: BUILDKIT_SSH_KEY]
    #[arg(long, value_name = "FILE", help_heading = "Runner")]
    pub ssh_key: Option<PathBuf>,

    /// Keep a runner whose build failed, so that you can look: `keep=30m`, at most 24h; not for `--actor ci`
    /// unless the policy allows it, nor on `local`, whose runners end with the build
    #[arg(long, value_name = "keep=DURATION", value_parser = parse_keep, help_heading = "Runner")]
    pub on_failure: Option<std::time::Duration>,

    /// Whose the runners are: any name that all jobs of the project share [env: LIAN_OWNER] [default: the git
    /// remote, else the workspace]
    #[arg(long, value_name = "NAME", help_heading = "Runner")]
    pub owner: Option<String>,

    /// How long to wait for memory that other local builds hold [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Runner")]
    pub queue_timeout: Option<std::time::Duration>,

    /// What is built; owns history and cache [env: BUILDKIT_WORKSPACE] [default: the git remote's or directory's name]
    #[arg(long, value_name = "NAME", help_heading = "Caller")]
    pub workspace: Option<String>,

    /// What kind of caller this is [default: human]
    #[arg(long, value_enum, value_name = "ACTOR", help_heading = "Caller")]
    pub actor: Option<Actor>,

    /// Who builds [default: from $USER]
    #[arg(long, value_name = "ID", help_heading = "Caller")]
    pub actor_id: Option<String>,

    /// BuildDirectives in Nickel. Flags may add to what they say, and not contradict it
    #[arg(long, value_name = "FILE", help_heading = "Caller")]
    pub directives: Option<PathBuf>,

    /// Which of the directives, by name, in a file that holds several
    #[arg(long, value_name = "NAME", requires = "directives", help_heading = "Caller")]
    pub select: Option<String>,

    /// NATS server for lifecycle events [env: NATS_URL]
    #[arg(long, value_name = "URL", help_heading = "Events")]
    pub nats_url: Option<String>,

    /// First tokens of event subjects [env: NATS_SUBJECT_PREFIX] [default: lian-build]
    #[arg(long, value_name = "PREFIX", help_heading = "Events")]
    pub nats_subject_prefix: Option<String>,

    /// Append lifecycle events to a file, one JSON document a line
    #[arg(long, value_name = "FILE", help_heading = "Events")]
    pub events_file: Option<PathBuf>,

    /// How progress is shown [env: BUILDKIT_PROGRESS] [default: auto]
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Output")]
    pub progress: Option<Mode>,

    /// Show nothing but errors and the result
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,

    /// How the result is written [default: json when stdout is not a terminal (plan: human)]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NetworkArg {
    /// The runner's default
    Default,
    /// No network at all
    None,
    /// The runner's own network
    Host,
}

pub(super) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| std::time::Duration::try_from(duration).ok())
        .ok_or_else(|| "a duration looks like `90s`, `10m` or `1h30m`".to_owned())
}

fn parse_keep(text: &str) -> Result<std::time::Duration, String> {
    let duration = text.strip_prefix("keep=").ok_or_else(|| "it looks like `keep=30m`".to_owned())?;
    parse_duration(duration).and_then(|duration| {
        let fits = (1..=24 * 3600).contains(&duration.as_secs());
        if fits { Ok(duration) } else { Err("a runner is kept for between a second and 24 hours".to_owned()) }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(parse_duration("90s"), Ok(std::time::Duration::from_secs(90)));
        assert!(parse_duration("-1s").is_err());
        assert!(parse_duration("soon").is_err());
        assert_eq!(parse_keep("keep=30m"), Ok(std::time::Duration::from_secs(1800)));
        for bad in ["30m", "keep=", "keep=0s", "keep=25h", "release"] {
            assert!(parse_keep(bad).is_err(), "{bad}");
        }
    }
}
