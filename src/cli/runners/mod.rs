//! `runners`: the runners there are, and what is left of them.

mod args;
mod gc;
mod image;
mod list;
mod pick;
mod release;
mod site;
mod ssh;
mod survey;
mod table;

use std::process::ExitCode;

pub(super) use args::RunnersArgs;
use args::{CommonArgs, OwnerArgs, RunnersCommand, SshArgs};
use site::Site;

use super::args::Format;
use super::printer::Printer;
use super::{result_text, runtime};
use crate::clock::{Clock as _, SystemClock};
use crate::env_vars::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::report::RunnersDocument;
use crate::report::runners::{NoBody, RunnersBody, RunnersGc, RunnersImage, RunnersList, RunnersRelease};
use crate::run::Signals;

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
    }
}

/// Opens what is to be asked, works until a signal comes, and writes the one result.
fn command<B: RunnersBody>(
    common: &CommonArgs,
    owner: &OwnerArgs,
    environment: Environment,
    work: impl AsyncFnOnce(Site) -> Result<RunnersDocument<B>>,
    text: impl FnOnce(&B) -> String,
) -> ExitCode {
    let printer = Printer::new(Some(common.format));
    let document = until_a_signal(async {
        let site = Site::open(common.provider.as_deref(), owner.owner.as_deref(), environment).await?;
        work(site).await
    });
    let document = document.unwrap_or_else(|error| RunnersDocument::refused(&error));
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

/// Works until the first signal. What was asked to go by then goes all the same, and what is on record stays on record.
fn until_a_signal<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let signals = Signals::listen(|_| {})?;
        tokio::select! {
            biased;
            () = signals.token().cancelled() => Err(match signals.received() {
                Some(signal) => Error::new(ErrorKind::Cancelled(signal), format!("ended by {signal}")),
                None => Error::new(ErrorKind::State, "the command was cancelled"),
            }),
            ended = work => ended,
        }
    });
    runtime.shutdown_background();
    ended
}

/// The result of a command of this name that was refused before it began.
pub(super) fn refuse(name: Option<&str>, printer: Printer, error: &Error) -> ExitCode {
    match name {
        Some("list") => print(printer, &RunnersDocument::<RunnersList>::refused(error), |_| String::new()),
        Some("gc") => print(printer, &RunnersDocument::<RunnersGc>::refused(error), |_| String::new()),
        Some("release") => print(printer, &RunnersDocument::<RunnersRelease>::refused(error), |_| String::new()),
        Some("image") => print(printer, &RunnersDocument::<RunnersImage>::refused(error), |_| String::new()),
        // What the command on the runner says is all that comes on stdout.
        Some("ssh") => ExitCode::from(crate::exit::code(error.kind())),
        _ => print(printer, &RunnersDocument::<NoBody>::refused(error), |_| String::new()),
    }
}

/// Writes the one result.
fn print<B: RunnersBody>(printer: Printer, document: &RunnersDocument<B>, text: impl FnOnce(&B) -> String) -> ExitCode {
    let code = match printer.format() {
        Format::Json => printer.json(document, document.exit_code, |error| {
            let refused = RunnersDocument::refused(error);
            (refused.exit_code, refused)
        }),
        Format::Human => {
            // Nothing is said of what was not done.
            let body = if document.body == B::default() && document.error.is_some() {
                String::new()
            } else {
                text(&document.body)
            };
            let ending = document.error.as_ref().map(|error| result_text::outcome(document.status, error));
            let lines = body + &ending.unwrap_or_default();
            printer.result(&lines);
            document.exit_code
        }
    };
    ExitCode::from(code)
}
