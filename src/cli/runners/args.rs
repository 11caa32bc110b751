//! `runners` as clap sees it.

use clap::{Args, Subcommand};

use super::image::ImageArgs;
use super::user_data::UserDataArgs;
use crate::cli::args::Format;

/// Runners: which there are, and what is left of them
#[derive(Debug, Args)]
#[command(arg_required_else_help = false)]
pub struct RunnersArgs {
    #[command(subcommand)]
    pub command: RunnersCommand,
}

#[derive(Debug, Subcommand)]
pub enum RunnersCommand {
    /// List runners: whose, since when, until when, and what `gc` would do with them
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Remove the runners that nobody needs any more, and say what was left and why
    Gc(GcArgs),
    /// Release runners by their lease ids
    Release(ReleaseArgs),
    /// Get into a runner that was kept, or that builds now
    Ssh(SshArgs),
    /// Make the image that runners in containers start from, and give it to Docker; needs no image registry
    Image(ImageArgs),
    /// Print what the first boot of a machine of its own is given: a cloud-init document, to be looked at or used by hand
    UserData(UserDataArgs),
}

/// What all of them take.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// Ask only this provider [default: every one that can be reached from here]
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,

    /// How the result is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "human")]
    pub format: Format,
}

/// Whose runners are meant.
#[derive(Debug, Args)]
pub struct OwnerArgs {
    /// Whose runners are yours: as in `build --owner` [env: LIAN_OWNER] [default: the git remote of this directory]
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub common: CommonArgs,

    #[command(flatten)]
    pub owner: OwnerArgs,

    /// Show those of other owners too, although nothing is wrong with them
    #[arg(long)]
    pub all_owners: bool,
}

#[derive(Debug, Args)]
pub struct GcArgs {
    #[command(flatten)]
    pub common: CommonArgs,

    #[command(flatten)]
    pub owner: OwnerArgs,

    /// Say what would be removed, and touch nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// Lease ids, or beginnings of them that fit one only
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,

    #[command(flatten)]
    pub common: CommonArgs,

    #[command(flatten)]
    pub owner: OwnerArgs,

    /// Release runners of other owners too
    #[arg(long)]
    pub all_owners: bool,
}

#[derive(Debug, Args)]
pub struct SshArgs {
    /// A lease id, or a beginning of it that fits one only
    #[arg(value_name = "ID")]
    pub id: String,

    /// What to run there [default: a shell]
    #[arg(value_name = "COMMAND", last = true)]
    pub command: Vec<String>,
}
