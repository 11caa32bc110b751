//! [`Sampler`]: drives the measuring script on the runner.
//!
//! The script writes a line for each line it reads; the pace is set here. It ends with its standard input, so a
//! dropped connection leaves nothing behind.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::process::Child;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::samples::Sample;
use crate::lease::{CgroupVersion, MemoryLimit};
use crate::record::Samples;

/// The script. POSIX sh, nothing else is needed on the runner.
const SCRIPT: &str = include_str!("sampler.sh");

/// Where Linux mounts its cgroup hierarchies.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Time between two samples.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long the last sample may take.
const LAST_SAMPLE: Duration = Duration::from_secs(3);

/// Most of what is read from the runner: two days of samples.
const MAX_OUTPUT: u64 = 16 << 20;

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SamplerScope {
    /// The cgroup above all build steps.
    Cgroup {
        /// Which hierarchy.
        version: CgroupVersion,
        /// Its path below the hierarchy's root, with a leading slash.
        parent: String,
    },
    /// The whole machine: steps have no cgroup that can be read.
    Machine,
}

impl From<&MemoryLimit> for SamplerScope {
    fn from(limit: &MemoryLimit) -> Self {
        match limit {
            MemoryLimit::Cgroup { version, parent, .. } => Self::Cgroup { version: *version, parent: parent.clone() },
            MemoryLimit::None { .. } => Self::Machine,
        }
    }
}

impl SamplerScope {
    /// The command to run on the runner, as an argv. Standard input and output must be piped to [`Sampler::start`].
    pub fn argv(&self, options: &SamplerOptions) -> Vec<String> {
        let (version, parent) = match self {
            Self::Cgroup { version: CgroupVersion::V1, parent } => ("v1", parent.as_str()),
            Self::Cgroup { version: CgroupVersion::V2, parent } => ("v2", parent.as_str()),
            Self::Machine => ("machine", ""),
        };
        let root = options.cgroup_root.as_deref().unwrap_or(CGROUP_ROOT);
        let pressure = options.machine_pressure.as_deref().unwrap_or_default();
        let base = options.base.map_or_else(String::new, |bytes| bytes.to_string());
        ["sh", "-c", SCRIPT, "lian-sampler", version, root, parent, pressure, &base].map(str::to_owned).to_vec()
    }
}

/// What else the sampler is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SamplerOptions {
    /// Where the cgroup hierarchies are mounted, when not where they usually are.
    pub cgroup_root: Option<String>,
    /// The file with the whole machine's memory pressure, where nothing else runs there. The pressure of a group of the
    /// lease's own (cgroup v2) is always read.
    pub machine_pressure: Option<String>,
    /// [`Samples::base`] of a sampler that this one goes on for.
    pub base: Option<u64>,
}

/// The file with a machine's memory pressure.
pub const MACHINE_PRESSURE: &str = "/proc/pressure/memory";

/// The share of the last minute in which every task stood still for memory, in hundredths of a percent; `None` where the
/// kernel does not say.
pub type Pressure = Option<u32>;

/// A running sampler. Dropping it ends the measuring.
#[derive(Debug)]
pub struct Sampler {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<u8>>,
}

impl Sampler {
    /// Starts to measure through `child`: the sampler's command, or the ssh that runs it, with standard input and
    /// output piped. Must be called within the runtime.
    pub fn start(mut child: Child) -> Self {
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Self::start_on(stdin, stdout, child, watch::Sender::default())
    }

    /// As [`Sampler::start`], through the streams of a process that `guard` keeps alive. Each sample's memory pressure is
    /// told to `pressure` as it comes.
    pub fn start_on<I, O, G>(stdin: Option<I>, stdout: Option<O>, guard: G, pressure: watch::Sender<Pressure>) -> Self
    where
        I: AsyncWrite + Unpin + Send + 'static,
        O: AsyncRead + Unpin + Send + 'static,
        G: Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut output = Vec::new();
            let read = async {
                if let Some(stdout) = stdout {
                    listen(stdout.take(MAX_OUTPUT), &mut output, &pressure).await;
                }
            };
            let drive = async {
                if let Some(stdin) = stdin {
                    keep_pace(stdin, stopped).await;
                }
                tokio::time::sleep(LAST_SAMPLE).await;
            };
            tokio::select! {
                () = read => {}
                () = drive => {}
            }
            // Killed when it is still there: the handle kills on drop.
            drop(guard);
            output
        });
        Self { stop, task }
    }

    /// Takes the last sample and ends. At most 3 s; without an answer by then, what came before it counts.
    pub async fn finish(self) -> Samples {
        // The task may have ended already, because the connection broke.
        let _ = self.stop.send(());
        Samples::parse(&self.task.await.unwrap_or_default())
    }
}

/// Reads to the end; what was read before an error counts.
async fn listen(stdout: impl AsyncRead + Unpin, output: &mut Vec<u8>, pressure: &watch::Sender<Pressure>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let start = output.len();
        if !matches!(stdout.read_until(b'\n', output).await, Ok(1..)) {
            return;
        }
        if let Some(sample) = output.get(start..).and_then(Sample::parse) {
            pressure.send_replace(sample.pressure);
        }
    }
}

/// Writes a line every [`INTERVAL`] until `stopped`, then closes the pipe. A runner that does not keep up is waited
/// for: what it missed is not made up.
async fn keep_pace(mut stdin: impl AsyncWrite + Unpin, mut stopped: oneshot::Receiver<()>) {
    let mut pace = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            _ = pace.tick() => {}
        }
        tokio::select! {
            _ = &mut stopped => return,
            written = stdin.write_all(b"\n") => if written.is_err() { return },
        }
    }
}
