//! `runners image`: makes the image that runners in containers start from, and gives it to Docker.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bollard::Docker;
use clap::Args;

use super::{refuse, snapshot};
use crate::cli::args::Format;
use crate::cli::command_result::print;
use crate::cli::printer::Printer;
use crate::cli::{result_text, runtime};
use crate::env_vars::{self, Environment};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::provider::docker_local::{Daemon, DockerLocalConfig};
use crate::report::CommandDocument;
use crate::report::runners::RunnersImage;
use crate::run::Signals;
use crate::runner_image::{self, DebianRoot, Release};

#[derive(Debug, Args)]
pub struct ImageArgs {
    /// Give the image to Docker [default: unless --output is given]
    #[arg(long)]
    pub load: bool,

    /// Write the image's root file system to a tar
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Load the tar that an earlier --output wrote, instead of making one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "mirror"])]
    pub from: Option<PathBuf>,

    /// Debian mirror to take the packages from [default: Debian's own]
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,

    /// Keep a snapshot at this provider instead, made on a machine that is rented for it: `hcloud`
    #[arg(long, value_name = "NAME", value_parser = ["hcloud"], conflicts_with_all = ["load", "output", "from", "mirror"])]
    pub provider: Option<String>,

    /// The type of the machine that the snapshot is made on; machines of its architecture can start from it
    #[arg(long, value_name = "TYPE", default_value = "cax11", requires = "provider")]
    pub runner_type: String,

    /// How the result is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "human")]
    pub format: Format,
}

/// Runs `runners image`.
pub(super) fn main(args: &ImageArgs, environment: &Environment) -> ExitCode {
    let printer = Printer::new(Some(args.format));
    let made = runtime().and_then(|runtime| runtime.block_on(until_signal(args, environment, printer)));
    match made {
        Ok(body) => print(printer, &CommandDocument::done(body, Vec::new()), text),
        Err(error) => {
            printer.message(&result_text::error(&error));
            refuse(Some("image"), printer, &error)
        }
    }
}

async fn until_signal(args: &ImageArgs, environment: &Environment, printer: Printer) -> Result<RunnersImage> {
    let signals = Signals::listen(|_| {})?;
    if args.provider.is_some() {
        // It releases its machine, whatever happens, before it ends.
        let made = snapshot::make(&args.runner_type, environment, printer, &signals).await;
        return match (made, signals.received()) {
            (Err(error), Some(_)) if error.kind() != ErrorKind::ReleaseUnconfirmed => Err(signals.error()),
            (made, _) => made,
        };
    }
    let made = tokio::select! {
        made = make(args, environment, printer, &signals) => made,
        () = signals.give_up().cancelled() => Err(Error::new(ErrorKind::State, "given up")),
    };
    match (made, signals.received()) {
        (Err(_), Some(signal)) => Err(Error::new(ErrorKind::Cancelled(signal), format!("ended by {signal}"))),
        (made, _) => made,
    }
}

async fn make(
    args: &ImageArgs,
    environment: &Environment,
    printer: Printer,
    signals: &Signals,
) -> Result<RunnersImage> {
    let say = |line: &str| printer.message(line);
    let load = args.load || args.output.is_none();
    // Asked first: the image takes half a minute.
    let docker = if load { Some(connect(environment).await?) } else { None };
    if let Some(tar) = &args.from {
        let release = Release::of_tar(tar)?;
        return finish(docker.as_ref(), tar, None, &release, &say).await;
    }
    let root = DebianRoot::find(environment, args.mirror.clone()).await?;
    let release = root.release().clone();
    say(&format!("making a runner's root with BuildKit {} from Debian's packages", release.buildkit));
    let scratch = match &args.output {
        Some(_) => None,
        None => Some(tempfile::tempdir().context(ErrorKind::State, || "cannot make a temporary directory".to_owned())?),
    };
    let tar = match (&args.output, &scratch) {
        (Some(output), _) => output.clone(),
        (None, Some(scratch)) => scratch.path().join("root.tar"),
        (None, None) => return Err(Error::new(ErrorKind::State, "there is no place for the root")),
    };
    root.make(&tar, &say, signals.token()).await?;
    finish(docker.as_ref(), &tar, args.output.as_deref(), &release, &say).await
}

async fn finish(
    docker: Option<&Docker>,
    tar: &Path,
    output: Option<&Path>,
    release: &Release,
    say: &(dyn Fn(&str) + Sync),
) -> Result<RunnersImage> {
    let mut body = RunnersImage {
        file: output.map(|path| path.display().to_string()),
        recipe: Some(release.recipe.clone()),
        buildkit: Some(release.buildkit.clone()),
        ..RunnersImage::default()
    };
    if let Some(docker) = docker {
        say("giving it to Docker");
        let loaded = runner_image::load(docker, tar, release).await?;
        body.image = Some(loaded.name);
        body.image_id = Some(loaded.id);
    }
    Ok(body)
}

/// The daemon whose containers would be leased.
async fn connect(environment: &Environment) -> Result<Docker> {
    let daemon = Daemon::new(&DockerLocalConfig::from_environment(environment).host);
    let docker = daemon.client().await.cloned();
    docker.map_err(|error| {
        error.hint("`--output FILE` makes the image's root without Docker; `--load --from FILE` loads it later")
    })
}

fn text(body: &RunnersImage) -> String {
    let mut text = String::new();
    if let Some(file) = &body.file {
        let _ = writeln!(text, "wrote {}", crate::sanitise::line(file));
    }
    match (&body.image, body.is_snapshot) {
        (Some(image), true) => {
            let id = body.image_id.as_deref().unwrap_or_default();
            let _ =
                writeln!(text, "kept the snapshot {id} `{image}`: use it with {}={image}", env_vars::LIAN_HCLOUD_IMAGE);
        }
        (Some(image), false) => {
            let _ = writeln!(text, "loaded {image}");
        }
        (None, _) => {}
    }
    text
}
