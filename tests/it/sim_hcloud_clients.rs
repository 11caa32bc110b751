//! Clients that are not ours live a server's whole life on the simulator of Hetzner's cloud, unmodified: what `lian-build` is
//! tested against is then not only what we believe of the API.

use std::path::Path;
use std::process::Command;

use lian_simulators::faults::Fault;
use lian_simulators::hcloud::{Hcloud, Options, ServerView};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::variable;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFJO2pT7m2GqQ2Gv2o0w7j0m2Zl0GJ5Vq2oQ0o0Xw0aB cli@client";

/// Debian's `hcloud`, pointed at a simulator.
struct Cli {
    url: String,
    token: String,
    home: TempDir,
}

impl Cli {
    fn new(sim: &Hcloud) -> Self {
        Self { url: sim.url(), token: sim.token(), home: TempDir::new().unwrap() }
    }

    /// Runs it; yields whether it succeeded, and all that it said.
    async fn run(&self, args: &[&str]) -> (bool, String) {
        #[expect(clippy::disallowed_methods, reason = "a client that is not ours")]
        let mut command = Command::new("hcloud");
        command.args(args).env_clear().env("PATH", std::env::join_paths(["/usr/bin", "/bin"]).unwrap());
        command.env("HOME", self.home.path()).env("HCLOUD_ENDPOINT", &self.url).env("HCLOUD_TOKEN", &self.token);
        let output = tokio::process::Command::from(command).output().await.unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    #[track_caller]
    fn judge((succeeded, said): (bool, String)) -> String {
        assert!(succeeded, "{said}");
        said
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn debians_command_line_lives_a_whole_life() {
    let sim = Hcloud::start(Options::default()).await.unwrap();
    let cli = Cli::new(&sim);
    let user_data = cli.home.path().join("user-data");
    std::fs::write(&user_data, "#cloud-config\n{}\n").unwrap();
    Cli::judge(cli.run(&["ssh-key", "create", "--name", "anchor", "--public-key", KEY]).await);
    let user_data_path = user_data.to_string_lossy();
    let create = |name: &'static str| {
        ["server", "create", "--name", name, "--type", "cx23", "--image", "debian-12", "--location", "nbg1"]
            .into_iter()
            .chain(["--ssh-key", "anchor", "--label", "client=cli", "--user-data-from-file", &user_data_path])
            .collect::<Vec<_>>()
    };
    Cli::judge(cli.run(&create("cli-1")).await);
    let made: Vec<ServerView> = sim.servers();
    assert_eq!((made[0].name.as_str(), made[0].user_data.as_str()), ("cli-1", "#cloud-config\n{}\n"));
    assert_eq!((made[0].server_type.as_str(), made[0].location.as_str()), ("cx23", "nbg1"));
    let (succeeded, said) = cli.run(&create("cli-1")).await;
    assert!(!succeeded && said.contains("uniqueness_error"), "{said}");
    sim.faults().script(Fault::out_of_stock());
    let (succeeded, said) = cli.run(&create("cli-2")).await;
    assert!(!succeeded && said.contains("resource_unavailable"), "{said}");
    sim.faults().heal();
    Cli::judge(cli.run(&create("cli-2")).await);

    // Every list comes in pages of one, and it follows them.
    sim.faults().script(Fault::page_size(1));
    let listed: Value = serde_json::from_str(&Cli::judge(
        cli.run(&["server", "list", "--selector", "client=cli,!other", "--output", "json"]).await,
    ))
    .unwrap();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|server| server["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cli-1", "cli-2"]);
    assert!(listed.as_array().unwrap().iter().all(|server| server["status"] == "running"));
    sim.faults().heal();
    Cli::judge(cli.run(&["server", "add-label", "cli-1", "renewed=1"]).await);
    assert_eq!(sim.servers()[0].labels["renewed"], "1");
    sim.clock().advance(std::time::Duration::from_secs(3600));
    for name in ["cli-1", "cli-2"] {
        Cli::judge(cli.run(&["server", "delete", name]).await);
    }
    Cli::judge(cli.run(&["ssh-key", "delete", "anchor"]).await);
    assert!(sim.servers().is_empty());
    assert!(sim.leftovers().iter().all(|(_, left)| *left == 0), "{:?}", sim.leftovers());
    let bill = sim.bill();
    assert_eq!((bill.hours(), bill.servers_total().to_string()), (4, "0.0224".to_owned()));
    assert!(sim.audit().mails().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_lives_a_whole_life() {
    let sim = Hcloud::start(Options::default()).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hcloud_life.py");
    #[expect(clippy::disallowed_methods, reason = "a client that is not ours")]
    let mut command = Command::new(variable("LIAN_TEST_HCLOUD_PYTHON"));
    command.arg(script).args([sim.url(), sim.token()]);
    let output = tokio::process::Command::from(command).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(sim.servers().is_empty());
    assert!(sim.leftovers().iter().all(|(_, left)| *left == 0), "{:?}", sim.leftovers());
    assert_eq!((sim.bill().hours(), sim.bill().running().count()), (2, 0));
}
