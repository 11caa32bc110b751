//! The BuildKit cache that `'docker_local` keeps at the daemon for each workspace and actor: the second build is warm, one
//! build has it at a time, and no release and no sweep takes it away.

use lian_build::lease::Journal;
use lian_build::provider::ComputeProvider as _;
use lian_build::provider::docker_local::{CacheConfig, DockerLocalConfig, DockerLocalProvider};
use rustix::process::Signal;
use serde_json::Value;

use crate::docker_lease::{acquire, request};
use crate::support::{DockerMachine, Dockerd, Finished, Gate, Running, Sandbox, wait_until};

/// A world whose builds keep a cache at the tests' daemon, which goes with it.
struct World {
    sandbox: Sandbox,
    dockerd: Dockerd,
}

impl World {
    fn new() -> Self {
        Self { sandbox: Sandbox::new(), dockerd: Dockerd::of_the_tests() }
    }

    fn start(&self, arguments: &[&str]) -> Running<'_> {
        let mut command = self.sandbox.build_command();
        command.envs(self.dockerd.environment()).env("LIAN_LOCAL_CACHE_GB", "1");
        self.sandbox.start(command.arg("--provider=docker_local").args(arguments))
    }

    /// A build of these steps that succeeds, after which nothing but the cache is left.
    fn build(&self, steps: &str, arguments: &[&str]) -> Finished {
        self.sandbox.dockerfile_on_base(steps);
        let finished = self.start(arguments).wait();
        self.assert_left_nothing(&finished);
        finished
    }

    fn assert_left_nothing(&self, finished: &Finished) {
        for attempt in finished.assert_code(0).envelope()["attempts"].as_array().unwrap() {
            assert_eq!(self.dockerd.traces(attempt["lease_id"].as_str().unwrap()), [""; 0]);
        }
    }

    /// The kept caches of this world's cache directory.
    fn caches(&self) -> Vec<String> {
        let dir = format!("label=lian-cache-dir={}", self.sandbox.path().join("cache/lian-build").display());
        let said = self.dockerd.docker(&["volume", "ls", "--filter", &dir, "--format", "{{.Name}}"]);
        said.lines().map(str::to_owned).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for cache in self.caches() {
            self.dockerd.try_docker(&["volume", "rm", "--force", &cache]);
        }
    }
}

/// How many steps came from the cache.
fn cached(finished: &Finished) -> u64 {
    finished.envelope()["attempts"][0]["steps"]["cached"].as_u64().unwrap()
}

#[test]
fn the_second_build_is_warm_and_no_sweep_takes_the_cache() {
    let world = World::new();
    let secret = format!("secret-{}", uuid::Uuid::now_v7().simple());
    let source = world.sandbox.path().join("token");
    std::fs::write(&source, &secret).unwrap();
    let secret_flag = format!("--secret=id=token,src={}", source.display());
    let steps = "RUN --mount=type=secret,id=token,env=TOKEN test -n \"$TOKEN\" && echo once >/once";
    let first = world.build(steps, &[&secret_flag]);
    assert_eq!(cached(&first), 0, "{}", first.stderr);
    let caches = world.caches();
    assert_eq!(caches.len(), 1, "{caches:?}");

    let mut command = world.sandbox.command();
    command.envs(world.dockerd.environment()).args(["runners", "gc", "--provider=docker_local"]);
    world.sandbox.start(&mut command).wait().assert_code(0);
    let second = world.build(steps, &[&secret_flag]);
    assert!(cached(&second) >= 2, "{}", second.stderr);
    assert_eq!(world.caches(), caches);

    // What is kept holds no secret, and belongs to no lease.
    let mount = format!("{}:/kept", caches[0]);
    let image = lian_build::runner_image::name();
    let find = ["run", "--rm", "--volume", &mount, &image, "grep", "-rlF", "--", &secret, "/kept"];
    let found = world.dockerd.try_docker(&find);
    assert_eq!((found.status.code(), String::from_utf8_lossy(&found.stdout).as_ref()), (Some(1), ""));
    let labels = world.dockerd.docker(&["volume", "inspect", "--format", "{{json .Labels}}", &caches[0]]);
    let labels: Value = serde_json::from_str(&labels).unwrap();
    assert_eq!((&labels["lian-cache"], &labels["lian-actor"]), (&"1".into(), &"tester".into()), "{labels}");
    assert!(labels["lian-managed"].is_null() && labels["lian-lease"].is_null(), "{labels}");
}

#[test]
fn of_two_builds_at_once_the_second_starts_without() {
    let world = World::new();
    let gate = Gate::for_containers();
    world.sandbox.dockerfile_on_base(&format!("RUN {}", gate.wait_in_container()));
    let mut first = world.start(&[]);
    let step = gate.reached(&mut first);
    let mut second = world.start(&[]);
    let said = second.wait_for("another build of `context` uses its BuildKit cache");
    assert!(said.contains("starts without and keeps nothing"), "{said}");
    gate.reached(&mut second).open();
    world.assert_left_nothing(&second.wait_unchecked());
    step.open();
    world.assert_left_nothing(&first.wait());
    assert_eq!(world.caches().len(), 1);
}

/// Whoever releases what a killed build left does not touch the cache, and the next build has it.
#[test]
fn the_cache_outlives_a_killed_build() {
    let world = World::new();
    let steps = "RUN echo once >/once\n";
    world.build(steps, &[]);
    let gate = Gate::for_containers();
    world.sandbox.dockerfile_on_base(&format!("{steps}RUN {}", gate.wait_in_container()));
    let mut killed = world.start(&[]);
    let _step = gate.reached(&mut killed);
    let journal = Journal::new(&world.sandbox.state());
    let lease = journal.read().unwrap().0.remove(0).record.labels.lease_id;
    killed.signal(Signal::KILL);
    assert_eq!(killed.wait_unchecked().code, -1);
    wait_until("its reaper has released it", || journal.read().unwrap().0.is_empty());
    assert_eq!(world.dockerd.traces(lease.as_str()), [""; 0]);
    let next = world.build(steps, &[]);
    assert!(cached(&next) >= 2, "{}", next.stderr);
    assert_eq!(world.caches().len(), 1);
}

/// The lock went with its process, and the container is still there.
#[tokio::test]
async fn a_cache_that_a_container_has_is_not_given_to_another() {
    let (machine, one, two) = (DockerMachine::new(), request(0.5), request(0.5));
    let cache = CacheConfig { dir: machine.path().join("cache"), cap_bytes: 1 << 30 };
    let config = || DockerLocalConfig { cache: Some(cache.clone()), ..machine.config.clone() };
    let first = DockerLocalProvider::new(config());
    assert_eq!(acquire(&first, &one).await.unwrap().cache_cap_bytes, Some(1 << 30));
    let volume = machine.dockerd.docker(&["volume", "ls", "--quiet", "--filter", &label(&cache)]);
    // As if its process had died.
    drop(first);
    let second = DockerLocalProvider::new(config());
    let endpoint = acquire(&second, &two).await.unwrap();
    assert_eq!(endpoint.cache_cap_bytes, None);
    assert!(
        endpoint.notes.iter().any(|note| note.contains(&format!("has the BuildKit cache `{volume}` still"))),
        "{:?}",
        endpoint.notes
    );
    for lease in [&one.lease_id, &two.lease_id] {
        second.release(lease).await.unwrap();
        machine.assert_nothing_of(lease);
    }
    second.tidy().await.unwrap();
    assert_eq!(machine.dockerd.docker(&["volume", "ls", "--quiet", "--filter", &label(&cache)]), volume);

    // Somebody else's volume of this name is neither used nor touched.
    machine.dockerd.docker(&["volume", "rm", &volume]);
    machine.dockerd.docker(&["volume", "create", &volume]);
    let three = request(0.5);
    let endpoint = acquire(&second, &three).await.unwrap();
    assert!(endpoint.notes.iter().any(|note| note.contains("is not one of lian-build's")), "{:?}", endpoint.notes);
    second.release(&three.lease_id).await.unwrap();
    machine.assert_nothing_of(&three.lease_id);
    machine.dockerd.docker(&["volume", "rm", &volume]);
}

fn label(cache: &CacheConfig) -> String {
    format!("label=lian-cache-dir={}", cache.dir.display())
}
