//! `lian-sim`: a simulator for people and scripts.
//!
//! ```console
//! $ lian-sim hcloud
//! export HCLOUD_ENDPOINT=http://127.0.0.1:40123/v1
//! export HCLOUD_TOKEN=…
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use lian_simulators::backend::{Backend, ContainerBackend, NullBackend};
use lian_simulators::error::{Error, Result};
use lian_simulators::hcloud::{Hcloud, Options};

/// Clouds in memory that lian-build is tested against. Runs until it is interrupted; its servers end with it.
#[derive(Debug, Parser)]
#[command(name = "lian-sim")]
struct Command {
    #[command(subcommand)]
    cloud: Cloud,
}

#[derive(Debug, Subcommand)]
enum Cloud {
    /// Hetzner's cloud API. Prints what its clients read from the environment.
    Hcloud(Common),
}

#[derive(Debug, Args)]
struct Common {
    /// Where it listens; port 0 is a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    address: SocketAddr,
    /// Servers are containers of this daemon, with the root of ROOT_TAR; otherwise nothing stands behind them.
    #[arg(long, value_name = "DOCKER_HOST", requires = "root")]
    docker: Option<String>,
    /// The root file system of the containers: `ci/setup --for test --print-env` names it.
    #[arg(long, value_name = "ROOT_TAR")]
    root: Option<PathBuf>,
    /// Seconds that a server takes until it is made, and again until it runs.
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    step: u64,
}

impl Common {
    async fn backend(&self) -> Result<Arc<dyn Backend>> {
        match (&self.docker, &self.root) {
            (Some(host), Some(root)) => Ok(Arc::new(ContainerBackend::open(host, root).await?)),
            _ => Ok(Arc::new(NullBackend::default())),
        }
    }
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match run(Command::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a command says why it fails")]
            {
                eprintln!("lian-sim: {error}");
            }
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    let Cloud::Hcloud(common) = command.cloud;
    let step = Duration::from_secs(common.step);
    let options = Options {
        address: common.address,
        backend: common.backend().await?,
        create_time: step,
        start_time: step,
        ..Options::default()
    };
    let sim = Hcloud::start(options).await?;
    say(&[("HCLOUD_ENDPOINT", sim.url()), ("HCLOUD_TOKEN", sim.token()), ("LIAN_SIM", sim.origin())]);
    interrupted().await
}

/// For `eval` in a shell.
#[expect(clippy::print_stdout, reason = "a command says where it listens")]
fn say(variables: &[(&str, String)]) {
    for (name, value) in variables {
        println!("export {name}={value}");
    }
}

/// Until the first SIGINT or SIGTERM.
async fn interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| Error::new(format!("signals cannot be listened for: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}
