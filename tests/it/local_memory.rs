//! The tier's memory is enforced: a step that needs more is killed by the kernel, and only the step.

use lian_build::lease::MemoryLimit;
use lian_build::solve::buildkitd::{self, DaemonState};

use crate::support::{LocalMachine, Runner};

#[tokio::test]
async fn a_step_over_the_tiers_memory_is_killed_and_the_daemon_lives() {
    let machine = LocalMachine::new();
    let runner = Runner::start(&machine, 0.5).await;
    let MemoryLimit::Cgroup { parent, bytes, .. } = runner.endpoint.memory.clone() else {
        panic!("{:?}", runner.endpoint.memory)
    };
    assert_eq!(bytes, 256 << 20);
    runner.add_base();
    // `tail` keeps a line until it ends; this one never does.
    let (code, said) = runner.build("FROM scratch\nADD base.tar /\nRUN tail -n 1 /dev/zero\n", &[]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("exit code: 137") || said.contains("cannot allocate memory"), "{said}");
    let most = std::fs::read_to_string(format!("/sys/fs/cgroup/memory{parent}/memory.max_usage_in_bytes"))
        .or_else(|_| std::fs::read_to_string(format!("/sys/fs/cgroup{parent}/memory.peak")))
        .unwrap();
    let most: u64 = most.trim().parse().unwrap();
    assert!(most <= bytes && most > bytes / 10 * 9, "the peak was {most} of {bytes}");
    let before = buildkitd::diagnose(&runner.session, &runner.endpoint).await.unwrap();
    assert_eq!(before.state, DaemonState::Running);
    let (code, said) = runner.build("FROM scratch\nADD base.tar /\nRUN echo next\n", &[]).await;
    assert_eq!(code, 0, "{said}");
    runner.release(&machine).await;
}
