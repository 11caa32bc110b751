//! Several builds at once, on one machine.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Gate, Running, Sandbox, Step, Victim};

#[test]
fn two_builds_of_one_workspace_do_not_disturb_each_other() {
    let sandbox = Sandbox::new();
    let gate = Gate::new();
    sandbox.dockerfile_on_base(&format!("RUN {}; echo built > /proof", gate.wait()));
    let outputs = ["first", "second"].map(|name| sandbox.path().join(name));
    let start = |output: &std::path::PathBuf| {
        let mut command = sandbox.command();
        command.arg("build").arg(sandbox.context()).args(["--workspace=same", "--progress=quiet", "--format=json"]);
        sandbox.start(command.arg(format!("--output=type=tar,dest={}", output.display())))
    };
    let mut running = outputs.each_ref().map(start);
    // Both are in the middle of it at the same time.
    let steps = running.each_mut().map(|running| gate.reached(running));
    assert_eq!(Victim::leases(&sandbox).len(), 2);
    steps.into_iter().for_each(Step::open);
    let finished = running.map(Running::wait_unchecked);
    for (finished, output) in finished.iter().zip(&outputs) {
        assert_eq!(finished.assert_code(0).envelope()["workspace"], "same");
        let mut result = tar::Archive::new(std::fs::File::open(output).unwrap());
        let has_proof = |entry: std::io::Result<tar::Entry<'_, _>>| entry.unwrap().path().unwrap().ends_with("proof");
        assert!(result.entries().unwrap().any(has_proof), "{}", output.display());
        sandbox.assert_nothing_left(&finished.stdout);
    }
}

/// Counts the steps that run: each is connected as long as it does.
struct Census {
    listener: TcpListener,
    most: Arc<AtomicUsize>,
}

impl Census {
    fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap(), most: Arc::default() }
    }

    /// The step's command: is counted, and goes on once it was.
    fn command(&self) -> String {
        format!("nc 127.0.0.1 {} </dev/null", self.listener.local_addr().unwrap().port())
    }

    /// Counts `steps` of them. While one is counted, others may come.
    fn take(&self, steps: usize) {
        let (listener, most) = (self.listener.try_clone().unwrap(), Arc::clone(&self.most));
        let present = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for _ in 0..steps {
                let (mut step, _) = listener.accept().unwrap();
                let (most, present) = (Arc::clone(&most), Arc::clone(&present));
                std::thread::spawn(move || {
                    most.fetch_max(present.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // Long enough that steps which may run together do. A shorter time would see less, and fail nothing.
                    step.set_read_timeout(Some(std::time::Duration::from_millis(700))).unwrap();
                    let _ = step.read(&mut [0]);
                    present.fetch_sub(1, Ordering::SeqCst);
                    let _ = step.write_all(b"counted\n");
                });
            }
        });
    }
}

#[test]
fn eight_builds_share_a_memory_that_holds_two() {
    const BUILDS: usize = 8;
    // Two of them fit into the machine's memory, and three do not.
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total_kb: f64 = meminfo.lines().next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    let gb = (total_kb / f64::from(1 << 20) * 0.36 * 10.0).floor() / 10.0;
    let sandboxes: [Sandbox; BUILDS] = std::array::from_fn(|_| Sandbox::new());
    let build = |sandbox: &Sandbox, step: &str| {
        sandbox.dockerfile_on_base(&format!("RUN {step}"));
        let tiers = sandbox.tiers(&[("third", gb)]);
        let mut command = sandbox.build_command();
        command.arg("--tiers").arg(tiers).args(["--runner-type", "third"]);
        command
    };
    let (first, others) = sandboxes.split_at(2);
    let gate = Gate::new();
    let mut running: Vec<Running<'_>> =
        first.iter().map(|sandbox| sandbox.start(&mut build(sandbox, &gate.wait()))).collect();
    let steps: Vec<Step> = running.iter_mut().map(|running| gate.reached(running)).collect();
    // As long as these two stand there, each of the others has to wait, and says so.
    let census = Census::new();
    census.take(others.len());
    for sandbox in others {
        let mut waiting = sandbox.start(&mut build(sandbox, &census.command()));
        waiting.wait_for("memory budget");
        running.push(waiting);
    }
    steps.into_iter().for_each(Step::open);
    for running in running {
        running.wait().assert_code(0);
    }
    assert!(census.most.load(Ordering::SeqCst) <= 2, "{} at once", census.most.load(Ordering::SeqCst));
}
