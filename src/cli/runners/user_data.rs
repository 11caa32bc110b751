//! `runners user-data`: prints what the first boot of a machine of its own is given.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;

use super::refuse;
use crate::cli::args::Format;
use crate::cli::printer::Printer;
use crate::cli::result_text;
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Context as _, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::own_machine::{HostKey, UserData};

#[derive(Debug, Args)]
pub struct UserDataArgs {
    /// The public key that may log in
    #[arg(long, value_name = "FILE")]
    pub ssh_key: PathBuf,

    /// The private key that the machine answers with; its public half is FILE.pub. The document has it in it
    #[arg(long, value_name = "FILE")]
    pub host_key: PathBuf,

    /// The lease's id [default: a new one]
    #[arg(long, value_name = "ID")]
    pub lease: Option<LeaseId>,

    /// After how many hours the machine powers itself off, whatever happens
    #[arg(long, value_name = "HOURS", default_value = "24", value_parser = clap::value_parser!(u32).range(1..=720))]
    pub hours: u32,

    /// After how many minutes it does so unless it is told a later time [default: never]
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub expires: Option<u32>,

    /// The megabytes that all build steps together may use
    #[arg(long, value_name = "MB", default_value = "3584", value_parser = clap::value_parser!(u64).range(16..=1_048_576))]
    pub build_memory: u64,
}

/// Runs `runners user-data`.
pub(super) fn main(args: &UserDataArgs) -> ExitCode {
    let printer = Printer::new(Some(Format::Human));
    match document(args) {
        Ok(text) => {
            printer.result(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            printer.message(&result_text::error(&error));
            refuse(Some("user-data"), printer, &error)
        }
    }
}

fn document(args: &UserDataArgs) -> Result<String> {
    let now = SystemClock.now();
    let after = |minutes: u32| now + SignedDuration::from_mins(i64::from(minutes));
    let public = PathBuf::from(format!("{}.pub", args.host_key.display()));
    let user_data = UserData {
        lease: args.lease.clone().unwrap_or_default(),
        host_key: HostKey { private: read(&args.host_key)?.into(), public: first_line(&public)? },
        client_keys: vec![first_line(&args.ssh_key)?],
        hard_deadline: after(args.hours * 60),
        expires_at: args.expires.map(after),
        build_memory_bytes: args.build_memory << 20,
    };
    Ok(user_data.render()?.expose_secret().to_owned())
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).context(ErrorKind::Usage, || format!("cannot read `{}`", file.display()))
}

fn first_line(file: &Path) -> Result<String> {
    Ok(read(file)?.lines().next().unwrap_or_default().trim().to_owned())
}
