//! The child: reads a request, limits itself, evaluates, answers.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::evaluate::evaluate;
use super::limits::{Limits, MAX_REQUEST, OVERHEAD, STACK};
use super::wire::{Answer, Request};

/// Runs the child: a request as JSON on standard input, answers as JSON lines on standard output. Success means that
/// answers were given, not that they are good ones.
pub fn child_main() -> ExitCode {
    let mut text = Vec::new();
    let request = std::io::stdin()
        .take(MAX_REQUEST)
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())
        .and_then(|_| serde_json::from_slice::<Request>(&text).map_err(|error| error.to_string()));
    let request = match request {
        Ok(request) => request,
        Err(error) => return complain(&format!("no usable request: {error}")),
    };
    if let Err(error) = limit(request.limits) {
        return complain(&format!("cannot limit the evaluation: {error}"));
    }
    // The default hook would show where the evaluator's source is on the machine that built this program.
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let words = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        complain(&format!("the evaluator panicked: {}", words.unwrap_or("for an unknown reason")));
    }));
    let work = move || {
        evaluate(&request.documents, &say, seal);
        say(&Answer::Done);
    };
    match std::thread::Builder::new().stack_size(STACK).spawn(work).map(std::thread::JoinHandle::join) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(error) => complain(&format!("cannot start a thread: {error}")),
    }
}

/// Limits this process for good.
fn limit(limits: Limits) -> rustix::io::Result<()> {
    let memory = limits.memory_mb.saturating_mul(1 << 20).saturating_add(OVERHEAD);
    set(Resource::Core, 0, 0)?;
    set(Resource::Fsize, 0, 0)?;
    set(Resource::Cpu, limits.cpu_seconds, limits.cpu_seconds + 1)?;
    match set(Resource::As, memory, memory) {
        // macOS knows the limit's name and refuses it; time is limited there all the same.
        Err(_) if cfg!(target_os = "macos") => Ok(()),
        done => done,
    }
}

/// From here on no file can be opened, whatever the document makes the evaluator try.
fn seal() {
    // A process may always lower its limits; and the loader has checked every import already.
    let _ = set(Resource::Nofile, 0, 0);
}

fn set(resource: Resource, current: u64, maximum: u64) -> rustix::io::Result<()> {
    setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })
}

fn say(answer: &Answer) {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    // A parent that no longer listens has given the evaluation up.
    let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
}

fn complain(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "{message}");
    ExitCode::FAILURE
}
