//! `build`: settings, run, result.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use super::args::{BuildArgs, Format};
use super::printer::Printer;
use super::{result_text, runtime, services, settings};
use crate::env_vars::{self, Environment};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::RunId;
use crate::inputs::request::BuildRequest;
use crate::report::envelope::{Envelope, ErrorInfo};
use crate::report::log_file::LogFile;
use crate::report::progress::{Level, Mode, Output, Progress, Summary};
use crate::run::{self, Repeated, Services, Signals, build::Outcome};

/// Runs `build`.
pub(super) fn main(args: BuildArgs, environment: Environment) -> ExitCode {
    let printer = Printer::new(args.format);
    let mode = if args.quiet { Some(Mode::Quiet) } else { args.progress };
    let started =
        Mode::resolve(mode, &environment, std::io::stderr().is_terminal()).and_then(|mode| Ok((mode, runtime()?)));
    match started {
        Ok((mode, runtime)) => {
            let code = runtime.block_on(drive(printer, mode, args, environment));
            // A thread that still reads a dead connection must not hold up the end.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            printer.message(&result_text::error(&error));
            refuse(printer, &error)
        }
    }
}

/// The result of a run that never began.
pub(super) fn refuse(printer: Printer, error: &Error) -> ExitCode {
    let mut envelope = Envelope::new("build", RunId::new(), None);
    envelope.fail(error);
    print(printer, &envelope)
}

async fn drive(printer: Printer, mode: Mode, args: BuildArgs, environment: Environment) -> ExitCode {
    let run_id = RunId::new();
    match start(run_id, mode, args, environment).await {
        Ok(Started { request, services, progress, signals }) => {
            let outcome = run::build(run_id, &request, &services, &progress, &signals).await;
            progress.finish(summary(&outcome)).await;
            print(printer, &outcome.envelope)
        }
        Err(error) => {
            printer.message(&result_text::error(&error));
            refuse(printer, &error)
        }
    }
}

/// Everything that a run needs.
struct Started {
    request: BuildRequest,
    services: Services,
    progress: Progress,
    signals: Signals,
}

/// Reads what the caller said. A signal ends that at once: nothing is there to be released.
async fn start(run_id: RunId, mode: Mode, args: BuildArgs, environment: Environment) -> Result<Started> {
    let told = Arc::new(OnceLock::new());
    let signals = listen(Arc::clone(&told))?;
    let request = tokio::select! {
        biased;
        () = signals.token().cancelled() => return Err(signals.error()),
        request = settings::resolve(args, &environment) => request?,
    };
    let services = services(environment)?;
    let progress = progress(run_id, mode, &services)?;
    // The cell is empty until here.
    let _ = told.set(progress.clone());
    Ok(Started { request, services, progress, signals })
}

/// Starts to listen for signals; what repeated ones do is told to `told`, as soon as somebody is there.
fn listen(told: Arc<OnceLock<Progress>>) -> Result<Signals> {
    Signals::listen(move |repeated| {
        let text = match repeated {
            Repeated::GaveUp(signal) => format!("{signal} again: the release is not waited for any more"),
            Repeated::Abandoned(signal) => format!("{signal} once more: ending at once"),
        };
        if let Some(progress) = told.get() {
            progress.message(Level::Warning, text);
        }
    })
}

fn progress(run_id: RunId, mode: Mode, services: &Services) -> Result<Progress> {
    // Without a log file a build is still a build.
    let (log, fault) = match LogFile::create(&services.dirs.state, run_id) {
        Ok(log) => (Some(log), None),
        Err(error) => (None, Some(error)),
    };
    let terminal = std::io::stderr().is_terminal();
    let output = Output {
        stream: Box::new(std::io::stderr()),
        screen: Box::new(screen_size),
        color: terminal && services.environment.os(env_vars::NO_COLOR).is_none(),
    };
    let progress = Progress::start(mode, output, log, services.clock.clone())?;
    if let Some(error) = fault {
        progress.message(Level::Warning, format!("there is no log file of this run: {error}"));
    }
    Ok(progress)
}

/// Columns and rows of the terminal behind stderr.
fn screen_size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    Some((size.ws_col, size.ws_row))
}

fn summary(outcome: &Outcome) -> Summary {
    let failure = match (&outcome.failure, &outcome.envelope.error) {
        (Some(failure), Some(error)) => {
            // The rendered failure names the log itself.
            let hints: Vec<String> =
                error.hints.iter().filter(|hint| !hint.starts_with(run::LOG_HINT)).cloned().collect();
            // What the step said is the whole story of a failed build only; any other ending has a sentence of its own.
            let ending = if error.kind == ErrorKind::Build.as_str() {
                result_text::hints(&hints)
            } else {
                result_text::error_info(&ErrorInfo { hints, ..error.clone() })
            };
            Some(format!("{failure}{ending}"))
        }
        (None, Some(error)) => Some(result_text::error_info(error)),
        (_, None) => None,
    };
    Summary { success: outcome.envelope.error.is_none(), headline: result_text::headline(&outcome.envelope), failure }
}

fn print(printer: Printer, envelope: &Envelope) -> ExitCode {
    let code = envelope.exit_code.unwrap_or(crate::exit::INFRASTRUCTURE);
    let code = match printer.format() {
        Format::Json => printer.json(envelope, code, |error| {
            let mut refusal = Envelope::new(envelope.command.clone(), envelope.run_id, None);
            refusal.fail(error);
            (refusal.exit_code.unwrap_or(crate::exit::INFRASTRUCTURE), refusal)
        }),
        Format::Human => {
            printer.result(&result_text::human(envelope));
            code
        }
    };
    ExitCode::from(code)
}
