//! The sampler on real cgroups (v1, as root), on a v2 directory made by hand, and on the whole machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lian_build::error::ErrorKind;
use lian_build::lease::{CgroupVersion, MemoryLimit};
use lian_build::process::Cmd;
use lian_build::record::{Metrics, Sampler, SamplerOptions, SamplerScope, Samples};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};

const MB: u64 = 1 << 20;

/// A cgroup v1 group of this test in the hierarchies that BuildKit's steps would be in. Gone when dropped.
struct Group {
    parent: String,
    directories: Vec<PathBuf>,
}

impl Group {
    fn new(name: &str) -> Self {
        let parent = format!("/lian-build-test-{name}-{}", std::process::id());
        let directories: Vec<_> = ["memory", "cpuacct"]
            .map(|controller| PathBuf::from(format!("/sys/fs/cgroup/{controller}{parent}")))
            .into_iter()
            .inspect(|directory| fs::create_dir(directory).expect("root and cgroup v1 are needed"))
            .collect();
        Self { parent, directories }
    }

    fn scope(&self) -> SamplerScope {
        let version = CgroupVersion::V1;
        SamplerScope::from(&MemoryLimit::Cgroup { version, parent: self.parent.clone(), bytes: 1 << 30 })
    }

    /// A shell in the group that runs `program` when it reads a line, and ends with its standard input.
    fn python(&self, program: &str) -> Child {
        let child = Cmd::new("python3", ErrorKind::Runner)
            .args(["-c", program])
            .spawn(Stdio::piped(), Stdio::piped(), Stdio::inherit())
            .unwrap();
        for directory in &self.directories {
            fs::write(directory.join("cgroup.procs"), child.id().unwrap().to_string()).unwrap();
        }
        child
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for directory in &self.directories {
            if let Err(error) = fs::remove_dir(directory)
                && !std::thread::panicking()
            {
                panic!("{} is left: {error}", directory.display());
            }
        }
    }
}

/// The sampler's script, paced by the test.
struct Paced {
    child: Child,
    stdin: ChildStdin,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
    output: String,
}

impl Paced {
    async fn start(argv: &[String]) -> Self {
        let mut child = spawn(argv);
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut paced = Self { child, stdin, lines: BufReader::new(stdout).lines(), output: String::new() };
        paced.read().await;
        paced.read().await;
        paced
    }

    async fn read(&mut self) {
        let line = self.lines.next_line().await.unwrap().expect("the sampler goes on");
        self.output.push_str(&line);
        self.output.push('\n');
    }

    async fn sample(&mut self) {
        self.stdin.write_all(b"\n").await.unwrap();
        self.read().await;
    }

    /// Closes the pipe, reads the last sample and the end.
    async fn finish(mut self) -> Samples {
        drop(self.stdin);
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.output.push_str(&line);
            self.output.push('\n');
        }
        assert!(self.child.wait().await.unwrap().success());
        Samples::parse(self.output.as_bytes())
    }
}

fn spawn(argv: &[String]) -> Child {
    Cmd::new(&argv[0], ErrorKind::Runner)
        .args(&argv[1..])
        .spawn(Stdio::piped(), Stdio::piped(), Stdio::inherit())
        .unwrap()
}

/// Talks to a helper process: writes a line, waits for one.
async fn step(helper: &mut Child) {
    helper.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
    let mut line = String::new();
    BufReader::new(helper.stdout.as_mut().unwrap()).read_line(&mut line).await.unwrap();
    assert_eq!(line, "done\n");
}

/// Fills 128 MB of memory, then 128 MB of page cache, then gives the memory back, each when told to.
const FILLER: &str = r"
import os, sys, tempfile
def told(): return sys.stdin.readline()
def done(): print('done', flush=True)
told()
memory = bytearray(128 << 20)
for page in range(0, len(memory), 4096): memory[page] = 1
done(); told()
with tempfile.TemporaryFile(dir='.') as file:
    for _ in range(128): file.write(b'x' * (1 << 20))
    file.flush()
    done(); told()
del memory
done(); told()
";

#[tokio::test]
async fn memory_is_what_cannot_be_reclaimed() {
    let group = Group::new("memory");
    let mut helper = group.python(FILLER);
    let mut sampler = Paced::start(&group.scope().argv(&SamplerOptions::default())).await;
    for _ in 0..3 {
        step(&mut helper).await;
        sampler.sample().await;
    }
    drop(helper.stdin.take());
    helper.wait().await.unwrap();
    let samples = sampler.finish().await;
    assert!(!samples.whole_machine());
    let memory: Vec<u64> = samples.iter().map(|sample| sample.memory / MB).collect();
    let [start, filled, with_cache, given_back, end] = memory[..] else { panic!("{memory:?}") };
    assert!(start < 64 && end < 64, "{memory:?}");
    assert!((128..192).contains(&filled), "{memory:?}");
    assert!((128..192).contains(&with_cache), "page cache is no need: {memory:?}");
    assert!(given_back < 64, "{memory:?}");
    let cached = fs::read_to_string(group.directories[0].join("memory.max_usage_in_bytes")).unwrap();
    assert!(cached.trim().parse::<u64>().unwrap() > 240 * MB, "there was page cache: {cached}");
}

#[tokio::test]
async fn cpu_is_what_the_group_used() {
    let group = Group::new("cpu");
    let burn = "
import os, sys, time
sys.stdin.readline()
while time.process_time() < 1: pass
print('done', flush=True)
sys.stdin.readline()
";
    let mut helper = group.python(burn);
    let mut sampler = Paced::start(&group.scope().argv(&SamplerOptions::default())).await;
    step(&mut helper).await;
    sampler.sample().await;
    drop(helper.stdin.take());
    helper.wait().await.unwrap();
    let samples = sampler.finish().await;
    let cpu: Vec<u64> = samples.iter().map(|sample| sample.cpu_ns / 1_000_000).collect();
    assert!((900..2000).contains(&(cpu[1] - cpu[0])), "{cpu:?}");
    let metrics = samples.metrics().unwrap();
    assert!(metrics.cpu_p95 > 0.0, "{metrics:?}");
}

#[tokio::test]
async fn the_driver_keeps_the_pace_and_takes_a_last_sample() {
    let group = Group::new("driver");
    let mut helper = group.python(FILLER);
    let sampler = Sampler::start(spawn(&group.scope().argv(&SamplerOptions::default())));
    step(&mut helper).await;
    let samples = sampler.finish().await;
    drop(helper.stdin.take());
    helper.wait().await.unwrap();
    let last = samples.iter().last().unwrap();
    assert!(last.memory / MB >= 128, "the last sample sees what was just filled: {last:?}");
    assert!(samples.metrics().unwrap().mem_peak >= 0.125);
}

#[tokio::test]
async fn a_group_that_is_missing_or_goes_away_gives_no_samples() {
    let group = Group::new("gone");
    let mut sampler = Paced::start(&group.scope().argv(&SamplerOptions::default())).await;
    sampler.sample().await;
    drop(group);
    assert_eq!(sampler.finish().await.iter().count(), 2);

    let scope = SamplerScope::Cgroup { version: CgroupVersion::V1, parent: "/no-such-group".to_owned() };
    let samples = Sampler::start(spawn(&scope.argv(&SamplerOptions::default()))).finish().await;
    assert_eq!((samples.iter().count(), samples.metrics()), (0, None));
}

#[tokio::test]
async fn without_a_group_the_whole_machine_is_measured_and_said() {
    let limit = MemoryLimit::None { reason: "rootless".to_owned() };
    let mut sampler = Paced::start(&SamplerScope::from(&limit).argv(&SamplerOptions::default())).await;
    sampler.sample().await;
    let samples = sampler.finish().await;
    assert!(samples.whole_machine());
    assert_eq!(samples.iter().count(), 3);
    // Less what was in use at the start; other processes of the machine may grow in between.
    assert!(samples.iter().next().unwrap().memory < 256 << 20, "{samples:?}");
    assert!(samples.iter().all(|sample| sample.cpu_ns > 0));
}

/// A cgroup v2 group made by hand: what the kernel would write is written by the test.
fn v2_group(stat: &str) -> (TempDir, SamplerScope) {
    let root = tempfile::tempdir().unwrap();
    let group = root.path().join("lease");
    fs::create_dir(&group).unwrap();
    fs::write(group.join("memory.stat"), stat).unwrap();
    fs::write(group.join("memory.swap.current"), "1048576\n").unwrap();
    set_cpu(&group, 1_000_000);
    (root, SamplerScope::Cgroup { version: CgroupVersion::V2, parent: "/lease".to_owned() })
}

/// The hierarchies below `root`.
fn below(root: &Path) -> SamplerOptions {
    SamplerOptions { cgroup_root: Some(root.to_str().unwrap().to_owned()), ..SamplerOptions::default() }
}

fn set_cpu(group: &Path, microseconds: u64) {
    fs::write(group.join("cpu.stat"), format!("usage_usec {microseconds}\nuser_usec 1\nsystem_usec 1\n")).unwrap();
}

#[tokio::test]
async fn cgroup_v2_counts_the_kernel_without_its_reclaimable_caches() {
    const KERNELS: [(&str, u64); 2] = [
        (
            "anon 104857600\nfile 73400320\nkernel 31457280\nshmem 20971520\nsock 1048576\nslab_reclaimable 10485760\n",
            142,
        ),
        (
            "anon 104857600\nfile 73400320\nkernel_stack 1048576\npagetables 2097152\nshmem 20971520\nslab_reclaimable 10485760\nslab_unreclaimable 3145728\n",
            127,
        ),
    ];
    for (stat, expected) in KERNELS {
        let (root, scope) = v2_group(stat);
        let mut sampler = Paced::start(&scope.argv(&below(root.path()))).await;
        set_cpu(&root.path().join("lease"), 4_000_000);
        sampler.sample().await;
        let samples = sampler.finish().await;
        let read: Vec<_> = samples.iter().map(|sample| (sample.cpu_ns, sample.memory / MB)).collect();
        assert_eq!(read, [(1_000_000_000, expected), (4_000_000_000, expected), (4_000_000_000, expected)]);
    }
}

#[tokio::test]
async fn what_is_no_sampler_gives_no_metrics() {
    let argv = ["sh", "-c", "head -c 100000 /dev/urandom; exit 3"].map(str::to_owned);
    let metrics: Option<Metrics> = Sampler::start(spawn(&argv)).finish().await.metrics();
    assert_eq!(metrics, None);
}

/// Pressure as kernels write it: at rest, in a build that does not get on, on a kernel that has no `full` line.
const PRESSURES: [(&str, Option<u32>); 3] = [
    (
        "some avg10=0.00 avg60=0.03 avg300=0.31 total=33538646\nfull avg10=0.00 avg60=0.00 avg300=0.01 total=8496893\n",
        Some(0),
    ),
    (
        "some avg10=100.00 avg60=99.12 avg300=61.40 total=233538646\nfull avg10=98.05 avg60=96.47 avg300=58.02 total=208496893\n",
        Some(9647),
    ),
    ("some avg10=100.00 avg60=100.00 avg300=61.40 total=233538646\n", None),
];

#[tokio::test]
async fn memory_pressure_is_that_of_the_leases_own_group() {
    for (text, expected) in PRESSURES {
        let (root, scope) = v2_group("anon 4096\n");
        fs::write(root.path().join("lease/memory.pressure"), text).unwrap();
        // What the machine says does not count beside it.
        let machine = root.path().join("machine");
        fs::write(&machine, "full avg10=55.00 avg60=55.00 avg300=55.00 total=1\n").unwrap();
        let machine_pressure = Some(machine.to_str().unwrap().to_owned());
        let options = SamplerOptions { machine_pressure, ..below(root.path()) };
        let samples = Paced::start(&scope.argv(&options)).await.finish().await;
        assert!(samples.iter().count() > 0 && samples.iter().all(|sample| sample.pressure == expected), "{samples:?}");
    }
}

#[tokio::test]
async fn the_machines_pressure_is_read_where_it_is_ones_own() {
    let limit = MemoryLimit::None { reason: "a machine of its own".to_owned() };
    for (text, expected) in PRESSURES {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let machine_pressure = Some(file.path().to_str().unwrap().to_owned());
        let options = SamplerOptions { machine_pressure, ..SamplerOptions::default() };
        let samples = Paced::start(&SamplerScope::from(&limit).argv(&options)).await.finish().await;
        assert!(samples.iter().count() > 0 && samples.iter().all(|sample| sample.pressure == expected), "{samples:?}");
    }
    let samples = Paced::start(&SamplerScope::from(&limit).argv(&SamplerOptions::default())).await.finish().await;
    assert!(samples.iter().all(|sample| sample.pressure.is_none()), "nobody else's pressure: {samples:?}");
}

#[tokio::test]
async fn a_second_sampler_of_a_machine_counts_from_the_same_start() {
    let scope = SamplerScope::from(&MemoryLimit::None { reason: "rootless".to_owned() });
    let first = Paced::start(&scope.argv(&SamplerOptions::default())).await.finish().await;
    let base = first.base().expect("it says what was in use");
    // As if half of it had not been in use then. Other tests come and go.
    let options = SamplerOptions { base: Some(base / 2), ..SamplerOptions::default() };
    let second = Paced::start(&scope.argv(&options)).await.finish().await;
    assert!(second.iter().next().unwrap().memory > base / 4, "{second:?}");
    assert_eq!(second.base(), options.base);
}
