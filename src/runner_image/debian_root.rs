//! [`DebianRoot`]: a runner's root file system as a tar, made by mmdebstrap from Debian packages.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio_util::sync::CancellationToken;

use super::binaries::Binaries;
use super::recipe;
use super::release::Release;
use crate::env_vars::Environment;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::process::Cmd;

/// The Debian release of a runner.
const SUITE: &str = "bookworm";

/// What no runner needs of what packages bring.
const LEFT_OUT: [&str; 4] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];

/// How many of mmdebstrap's last lines an error shows.
const LAST_LINES: usize = 12;

/// How long mmdebstrap may take to take its own things away when it is told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Makes roots.
#[derive(Debug, Clone)]
pub struct DebianRoot {
    mmdebstrap: PathBuf,
    mirror: Option<String>,
    binaries: Binaries,
    release: Release,
}

impl DebianRoot {
    /// Finds what is needed. Without a `mirror` it is Debian's own.
    ///
    /// # Errors
    /// [`ErrorKind::Provider`] naming what is missing, with the package that has it.
    pub async fn find(environment: &Environment, mirror: Option<String>) -> Result<Self> {
        let mmdebstrap = environment.find_tool("mmdebstrap").ok_or_else(|| {
            Error::new(ErrorKind::Provider, "the image is made by `mmdebstrap`, which is not installed")
                .hint("on Debian or Ubuntu: apt-get install mmdebstrap")
                .hint("elsewhere: make it there with `--output FILE`, and load it here with `--from FILE`")
        })?;
        let binaries = Binaries::find(environment)?;
        let release = Release {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            recipe: recipe::hash(),
            buildkit: binaries.version().await?,
        };
        Ok(Self { mmdebstrap, mirror, binaries, release })
    }

    /// What the root will be made from.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Makes the root and writes it to `tar`, which appears when it is complete. `say` is told each step.
    ///
    /// # Errors
    /// [`ErrorKind::Provider`] with mmdebstrap's last words; [`ErrorKind::State`] when files cannot be written, and when
    /// `cancel` ended it.
    pub async fn make(&self, tar: &Path, say: &(dyn Fn(&str) + Sync), cancel: &CancellationToken) -> Result<()> {
        let parent = tar.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        // Beside the result, so that it appears in one rename, and mmdebstrap's own directory is in it, too. Open to
        // others, because mmdebstrap becomes another user where it is not root.
        let work = tempfile::Builder::new()
            .prefix(".lian-build-runner.")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in(parent)
            .context(ErrorKind::State, || format!("cannot write to `{}`", parent.display()))?;
        let (files, root) = (work.path().join("recipe.tar"), work.path().join("root.tar"));
        recipe::write_archive(&files, &self.binaries, &self.release)?;
        self.run(&files, &root, work.path(), say, cancel).await?;
        std::fs::rename(&root, tar).context(ErrorKind::State, || format!("cannot write `{}`", tar.display()))
    }

    async fn run(
        &self,
        files: &Path,
        root: &Path,
        work: &Path,
        say: &(dyn Fn(&str) + Sync),
        cancel: &CancellationToken,
    ) -> Result<()> {
        let mut child = self.command(files, root, work)?.spawn(Stdio::null(), Stdio::null(), Stdio::piped())?;
        let last = tokio::select! {
            last = follow(child.stderr.take(), say) => last,
            () = cancel.cancelled() => {
                // It has mounts and directories to take away; killing it would leave them.
                if let Some(group) = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
                    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
                }
                let _ = tokio::time::timeout(STOP_LIMIT, child.wait()).await;
                return Err(Error::new(ErrorKind::State, "making the runner's image was cancelled"));
            }
        };
        let status = child.wait().await.context(ErrorKind::Provider, || "cannot wait for mmdebstrap".to_owned())?;
        if status.success() {
            return Ok(());
        }
        Err(failed(&last))
    }

    fn command(&self, files: &Path, root: &Path, work: &Path) -> Result<Cmd> {
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| {
                Error::usage(format!("`{}` is no UTF-8: mmdebstrap cannot be told of it", path.display()))
            })
        };
        // Hooks are shell words.
        let files = text(files)?;
        let files = shlex::try_quote(&files).context(ErrorKind::Usage, || format!("odd path `{files}`"))?.into_owned();
        let mut command = Cmd::new(&self.mmdebstrap, ErrorKind::Provider)
            .plain_env()
            .env("TMPDIR", work)
            .env("SOURCE_DATE_EPOCH", recipe::EPOCH.to_string())
            // Its own way of cleaning leaves directories whose owner depends on where this runs.
            .args(["--variant=essential", "--format=tar", "--skip=cleanup/apt"])
            .arg(format!("--include={}", recipe::packages().join(",")));
        for pattern in LEFT_OUT {
            command = command.arg(format!("--dpkgopt=path-exclude={pattern}"));
        }
        command = command
            .arg(format!("--customize-hook=tar-in {files} /"))
            .arg(format!("--customize-hook=chroot \"$1\" sh /{}/install.sh seal", recipe::DIRECTORY))
            .args([SUITE, &text(root)?]);
        Ok(match &self.mirror {
            Some(mirror) => command.arg(mirror),
            None => command,
        })
    }
}

/// Tells each line, and returns the last ones.
async fn follow(stream: Option<impl AsyncRead + Unpin>, say: &(dyn Fn(&str) + Sync)) -> VecDeque<String> {
    let mut last = VecDeque::with_capacity(LAST_LINES);
    let Some(stream) = stream else { return last };
    let mut lines = BufReader::new(stream).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = crate::sanitise::bytes(&line);
        if let Some(step) = line.strip_prefix("I: ") {
            say(step);
        }
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    last
}

fn failed(last: &VecDeque<String>) -> Error {
    let said: Vec<&str> = last.iter().map(String::as_str).filter(|line| !line.starts_with("I: ")).collect();
    let error = Error::new(ErrorKind::Provider, format!("mmdebstrap failed: {}", said.join("\n").trim()));
    let all = said.join("\n");
    if all.contains("Could not resolve") || all.contains("Failed to fetch") || all.contains("Could not connect") {
        error.hint("no Debian mirror is reachable: name one with `--mirror URL`")
    } else if all.contains("unshare")
        || all.contains("newuidmap")
        || all.contains("subuid")
        || all.contains("Operation not permitted")
    {
        error.hint("it needs root, or user namespaces and subordinate ids (apt-get install uidmap)")
    } else {
        error
    }
}
