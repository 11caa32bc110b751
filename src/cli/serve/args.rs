//! `serve` as clap sees it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::cli::args::{Format, parse_duration};

/// Lease runners to others over HTTP: they hold a token of this pool, and no cloud's
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ServeArgs {
    #[command(subcommand)]
    pub command: Option<ServeCommand>,

    /// What the pool is, in Nickel: all that the flags say, which beat it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Where to listen. Anything but loopback needs a certificate [default: 127.0.0.1:8470]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,

    /// Who leases the runners; repeated, the first that has room
    #[arg(long, value_name = "NAME")]
    pub provider: Vec<String>,

    /// Who may ask, and for what: the file that `serve token` writes
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tokens: Option<PathBuf>,

    /// Certificate chain, PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = ValueHint::FilePath)]
    pub tls_cert: Option<PathBuf>,

    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    pub tls_key: Option<PathBuf>,

    /// File with other tiers than the built-in ones, in Nickel
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tiers: Option<PathBuf>,

    /// Where the pool keeps its leases, the history and the audit log [default: `serve` in the state directory]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: Option<PathBuf>,

    /// Whose the runners are at the provider, for a pool that is started the first time: any name [default: a name that
    /// no other pool has]
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,

    /// The longest time between two renewals of a lease [default: 2h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub ttl: Option<std::time::Duration>,

    /// The longest life of a lease [default: 26h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub max_ttl: Option<std::time::Duration>,

    /// Most leases at the same time, of all tokens together [default: 5000]
    #[arg(long, value_name = "COUNT")]
    pub max_leases: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub enum ServeCommand {
    /// Make tokens, list them, take them away
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and show it, this one time
    New(NewTokenArgs),
    /// List the tokens and what they may ask for
    #[command(visible_alias = "ls")]
    List(TokensArgs),
    /// Take tokens away. What they hold ends when it is not renewed, which it cannot be any more
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub struct TokensArgs {
    /// The file with the tokens; made when it is missing
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tokens: PathBuf,

    /// How the result is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "human")]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct NewTokenArgs {
    /// What you call it
    #[arg(value_name = "NAME")]
    pub name: String,

    #[command(flatten)]
    pub common: TokensArgs,

    /// A workspace that it may have; `shop-*` is all that begin so, `*` every one (can be repeated)
    #[arg(long, value_name = "NAME", required = true)]
    pub workspace: Vec<String>,

    /// A tier that it may have (can be repeated) [default: all]
    #[arg(long, value_name = "TIER")]
    pub runner_type: Vec<String>,

    /// A provider that it may lease from (can be repeated) [default: all that are served]
    #[arg(long, value_name = "NAME")]
    pub provider: Vec<String>,

    /// Most leases at the same time
    #[arg(long, value_name = "COUNT")]
    pub concurrent_leases: Option<u32>,

    /// Most hours of runners in any 24 hours, all its leases together
    #[arg(long, value_name = "HOURS")]
    pub hours_per_day: Option<f64>,

    /// For how long it is good [default: until it is taken away]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub expires_in: Option<std::time::Duration>,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Names or ids
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,

    #[command(flatten)]
    pub common: TokensArgs,
}
