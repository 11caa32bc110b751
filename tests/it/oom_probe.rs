//! The script that reads the memory evidence, on this machine's own kernel.

use lian_build::error::ErrorKind;
use lian_build::lease::MemoryLimit;
use lian_build::process::Cmd;
use lian_build::solve::oom::{Counters, Daemon, Probe, SCRIPT, parse};

/// Runs the script behind `before` (a program that runs another one).
async fn read(before: &[&str], pid_file: &str, since: Option<u64>) -> Counters {
    let memory = MemoryLimit::None { reason: "a test".to_owned() };
    let probe = Probe { memory: &memory, buildkit_root: "/", buildkitd_pid_file: pid_file, since };
    let argv: Vec<String> = before.iter().map(|part| (*part).to_owned()).chain(probe.argv()).collect();
    let [program, args @ ..] = argv.as_slice() else { panic!("no program") };
    let output = Cmd::new(program, ErrorKind::Runner).args(args).output_with_stdin(SCRIPT.as_bytes()).await.unwrap();
    assert_eq!((output.code, output.stderr_text()), (0, String::new()), "it always ends well and is silent");
    parse(&output.stdout)
}

#[tokio::test]
async fn root_reads_everything() {
    let counters = read(&[], "/nonexistent", None).await;
    assert_eq!(counters.kernel_log.gap, None);
    assert!(counters.kernel_log.first.unwrap() <= counters.kernel_log.last.unwrap());
    assert_eq!(counters.kernel_log.kills, [], "the first reading only looks where the log ends");
    assert!(counters.boot_id.is_some() && counters.vmstat_oom_kill.is_some(), "{counters:?}");
    assert!(counters.memory_total_bytes > counters.memory_available_bytes, "{counters:?}");
    assert!(counters.disk.unwrap().total_bytes > counters.disk.unwrap().free_bytes);
    assert_eq!(counters.daemon, Daemon::Unknown);
}

#[tokio::test]
async fn a_user_who_may_not_read_the_kernels_log_knows_that_it_is_not_empty() {
    let before = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"];
    let counters = read(&before, "/nonexistent", Some(0)).await;
    assert!(counters.kernel_log.gap.is_some(), "{counters:?}");
    assert_eq!(counters.kernel_log.last, None);
    assert!(counters.vmstat_oom_kill.is_some(), "the machine's counter is for everybody: {counters:?}");
}

#[tokio::test]
async fn a_process_is_alive_until_it_is_not() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let pid_file = file.path().to_str().unwrap();
    std::fs::write(file.path(), format!("{}\n", std::process::id())).unwrap();
    let counters = read(&[], pid_file, None).await;
    assert!(
        matches!(counters.daemon, Daemon::Alive { pid, started: Some(_) } if pid == std::process::id()),
        "{counters:?}"
    );
    // Larger than any process id of Linux.
    std::fs::write(file.path(), "4194305\n").unwrap();
    assert_eq!(read(&[], pid_file, None).await.daemon, Daemon::Dead { pid: 4_194_305 });
    std::fs::write(file.path(), "$(id)\n").unwrap();
    assert_eq!(read(&[], pid_file, None).await.daemon, Daemon::Unknown);
}
