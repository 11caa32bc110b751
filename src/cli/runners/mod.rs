//! `runners`: the runners there are, and what is left of them.

mod args;
mod gc;
mod image;
mod list;
mod pick;
mod release;
mod site;
mod snapshot;
mod ssh;
mod survey;
mod table;
mod user_data;

use std::process::ExitCode;

pub(super) use args::RunnersArgs;
use args::{CommonArgs, OwnerArgs, RunnersCommand, SshArgs};
use site::Site;

use super::args::Format;
use super::command_result::print;
use super::printer::Printer;
use super::result_text;
use super::until_signal::until_a_signal;
use crate::clock::{Clock as _, SystemClock};
use crate::env_vars::Environment;
use crate::error::{Error, Result};
use crate::report::runners::{NoBody, RunnersGc, RunnersImage, RunnersList, RunnersRelease};
use crate::report::{CommandBody, CommandDocument};

/// Runs a command of the group.
pub(super) fn main(args: RunnersArgs, environment: Environment) -> ExitCode {
    match args.command {
        RunnersCommand::List(args) => {
            let work = async |site: Site| list::list(&args, &site).await;
            let text = |list: &RunnersList| list::text(list, SystemClock.now());
            command(&args.common, &args.owner, environment, work, text)
        }
        RunnersCommand::Gc(args) => {
            let work = async |site: Site| gc::gc(&args, &site).await;
            command(&args.common, &args.owner, environment, work, gc::text)
        }
        RunnersCommand::Release(args) => {
            let work = async |site: Site| release::release(&args, &site).await;
            command(&args.common, &args.owner, environment, work, release::text)
        }
        RunnersCommand::Ssh(args) => become_ssh(&args, environment),
        RunnersCommand::Image(args) => image::main(&args, &environment),
        RunnersCommand::UserData(args) => user_data::main(&args),
    }
}

/// Opens what is to be asked, works until a signal comes, and writes the one result.
fn command<B: CommandBody>(
    common: &CommonArgs,
    owner: &OwnerArgs,
    environment: Environment,
    work: impl AsyncFnOnce(Site) -> Result<CommandDocument<B>>,
    text: impl FnOnce(&B) -> String,
) -> ExitCode {
    let printer = Printer::new(Some(common.format));
    let document = until_a_signal(async {
        let site = Site::open(common.provider.as_deref(), owner.owner.as_deref(), environment).await?;
        work(site).await
    });
    let document = document.unwrap_or_else(|error| CommandDocument::refused(&error));
    for warning in &document.warnings {
        printer.message(&format!("warning: {}", crate::sanitise::lines(warning)));
    }
    if let Some(error) = &document.error {
        printer.message(&result_text::error_info(error));
    }
    print(printer, &document, text)
}

/// Becomes `ssh`. What it says is all that comes on stdout.
fn become_ssh(args: &SshArgs, environment: Environment) -> ExitCode {
    let found = until_a_signal(async {
        let site = Site::open(None, None, environment).await?;
        ssh::ssh(args, &site).await
    });
    let error = match found {
        Ok(cmd) => cmd.exec(),
        Err(error) => error,
    };
    let printer = Printer::new(Some(Format::Human));
    printer.message(&result_text::error(&error));
    refuse(Some("ssh"), printer, &error)
}

/// The result of a command of this name that was refused before it began.
pub(super) fn refuse(name: Option<&str>, printer: Printer, error: &Error) -> ExitCode {
    match name {
        Some("list") => print(printer, &CommandDocument::<RunnersList>::refused(error), |_| String::new()),
        Some("gc") => print(printer, &CommandDocument::<RunnersGc>::refused(error), |_| String::new()),
        Some("release") => print(printer, &CommandDocument::<RunnersRelease>::refused(error), |_| String::new()),
        Some("image") => print(printer, &CommandDocument::<RunnersImage>::refused(error), |_| String::new()),
        // What the command on the runner says, or the document, is all that comes on stdout.
        Some("ssh" | "user-data") => ExitCode::from(crate::exit::code(error.kind())),
        _ => print(printer, &CommandDocument::<NoBody>::refused(error), |_| String::new()),
    }
}
