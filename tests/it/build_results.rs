//! Where results go: a real registry, archives, directories; and what is refused before a lease.

use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::docker_registry::{DockerRegistry, PASSWORD, USER};
use crate::support::{Sandbox, install_tls};

fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY file /file\n").write("file", "content");
    sandbox
}

/// Writes Docker's configuration with a login for `host`.
fn log_in(sandbox: &Sandbox, host: &str, password: &str) {
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}"));
    let directory = sandbox.path().join("home/.docker");
    std::fs::create_dir_all(&directory).unwrap();
    let mut auths = serde_json::Map::new();
    auths.insert(host.to_owned(), json!({ "auth": auth }));
    std::fs::write(directory.join("config.json"), json!({ "auths": auths }).to_string()).unwrap();
}

async fn digest_in(registry: &DockerRegistry, repository: &str, tag: &str, login: bool) -> String {
    let url = format!("http://{}/v2/{repository}/manifests/{tag}", registry.host());
    let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
    let mut request = reqwest::Client::new().get(url).header("Accept", accept);
    if login {
        request = request.basic_auth(USER, Some(PASSWORD));
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    answer.headers()["docker-content-digest"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_image_is_pushed_and_its_digest_read_back() {
    install_tls();
    let registry = DockerRegistry::open().await;
    let sandbox = project();
    let name = format!("{}/team/app:1", registry.host());
    let second = format!("{}/team/app:latest", registry.host());
    let ids = sandbox.path().join("id");
    let metadata = sandbox.path().join("metadata.json");
    let built = sandbox.build([
        "-t",
        &name,
        "--tag",
        &second,
        "--iidfile",
        ids.to_str().unwrap(),
        "--metadata-file",
        metadata.to_str().unwrap(),
    ]);
    let envelope = built.assert_code(0).envelope();
    let digest = digest_in(&registry, "team/app", "1", false).await;
    assert_eq!(digest_in(&registry, "team/app", "latest", false).await, digest);
    assert_eq!(envelope["image"]["digest"], digest.as_str());
    assert_eq!(envelope["image"]["pushed"], true);
    assert_eq!(envelope["image"]["references"], json!([name, second]));
    assert_eq!(std::fs::read_to_string(ids).unwrap(), digest);
    let metadata: Value = serde_json::from_slice(&std::fs::read(metadata).unwrap()).unwrap();
    assert_eq!(metadata["containerimage.digest"], digest.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_travels_to_the_runner_and_a_wrong_one_is_refused_before_the_lease() {
    install_tls();
    let registry = DockerRegistry::with_login().await;
    let sandbox = project();
    let name = format!("{}/private/app:1", registry.host());

    let missing = sandbox.build(["-t", &name]).assert_code(8).envelope();
    assert_eq!(missing["status"], "refused");
    assert_eq!(missing["attempts"], json!([]));

    log_in(&sandbox, registry.host(), "wrong");
    let wrong = sandbox.build(["-t", &name]);
    wrong.assert_code(8);
    assert_eq!(wrong.envelope()["attempts"], json!([]));
    assert!(!registry.knows("private/app"), "something was pushed");

    log_in(&sandbox, registry.host(), PASSWORD);
    let built = sandbox.build(["-t", &name, "--progress=plain"]);
    let envelope = built.assert_code(0).envelope();
    assert_eq!(envelope["image"]["digest"], digest_in(&registry, "private/app", "1", true).await.as_str());
    for text in [&built.stdout, &built.stderr] {
        assert!(!text.contains(PASSWORD), "the password is shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_image_is_pulled_from_a_registry_with_the_same_login() {
    install_tls();
    let registry = DockerRegistry::with_login().await;
    let sandbox = project();
    log_in(&sandbox, registry.host(), PASSWORD);
    let base = format!("{}/private/base:1", registry.host());
    sandbox.build(["-t", &base]).assert_code(0);
    sandbox.write("Dockerfile", "ARG BASE\nFROM ${BASE}\nCOPY file /second\n");
    let dest = sandbox.path().join("out");
    let argument = format!("BASE={base}");
    sandbox.build(["--build-arg", &argument, "--no-cache", "--pull", "-o", dest.to_str().unwrap()]).assert_code(0);
    assert_eq!(std::fs::read_to_string(dest.join("file")).unwrap(), "content");
    assert_eq!(std::fs::read_to_string(dest.join("second")).unwrap(), "content");
}

#[test]
fn archives_come_back_in_every_format() {
    let sandbox = project();
    let path = |name: &str| sandbox.path().join(name).display().to_string();
    let outputs = [
        format!("type=oci,dest={}", path("image.oci.tar")),
        format!("type=tar,dest={}", path("files.tar")),
        format!("type=docker,name=app:1,dest={}", path("image.docker.tar")),
        format!("type=oci,tar=false,dest={}", path("layout")),
    ];
    let arguments = outputs.iter().flat_map(|output| ["-o", output.as_str()]);
    let envelope = sandbox.build(arguments).assert_code(0).envelope();
    assert_eq!(envelope["outputs"].as_array().unwrap().len(), 4);
    assert!(members(&sandbox.path().join("image.oci.tar")).contains("oci-layout"));
    assert!(members(&sandbox.path().join("files.tar")).contains("file"));
    assert!(members(&sandbox.path().join("image.docker.tar")).contains("manifest.json"));
    assert!(sandbox.path().join("layout/index.json").exists());
}

#[expect(clippy::disallowed_methods, reason = "a look at a result with a tool that is not ours")]
fn members(archive: &Path) -> String {
    let output = Command::new("tar").arg("-tf").arg(archive).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{} is no tar archive", archive.display());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_failed_build_leaves_an_older_result_alone() {
    let sandbox = project();
    let dest = sandbox.path().join("image.tar");
    std::fs::write(&dest, "older").unwrap();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY missing /\n");
    sandbox.build(["-o", &format!("type=oci,dest={}", dest.display())]).assert_code(1);
    assert_eq!(std::fs::read_to_string(dest).unwrap(), "older");
}

#[test]
fn an_image_that_goes_nowhere_is_said_to() {
    let sandbox = project();
    let envelope = sandbox.build(["-t", "registry.invalid/app:1", "--push=false"]).assert_code(0).envelope();
    assert_eq!(envelope["image"]["pushed"], false);
    assert!(envelope["warnings"][0].as_str().unwrap().contains("went away"), "{envelope}");
}

#[test]
fn loading_needs_docker_before_anything_is_leased() {
    let sandbox = project();
    let mut command = sandbox.command();
    command.arg("build").arg(sandbox.context()).arg("--load").env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let envelope = sandbox.start(&mut command).wait().assert_code(5).envelope();
    assert_eq!(envelope["attempts"], json!([]));
    assert!(envelope["error"]["message"].as_str().unwrap().contains("--load"), "{envelope}");
}
