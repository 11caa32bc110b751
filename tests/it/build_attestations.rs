//! Provenance and SBOM: what is asked for stands beside the image in the registry, and nothing else does.

use serde_json::{Value, json};

use crate::support::docker_registry::{DockerRegistry, digest};
use crate::support::{Sandbox, install_tls};

/// What the tests look for in provenance.
const ARGUMENT: &str = "a-value-of-a-build-argument";

fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nARG SAID\nLABEL is=built\nCOPY file /file\n").write("file", "content");
    sandbox
}

/// A manifest or blob as JSON, with its digest.
async fn fetch(registry: &DockerRegistry, repository: &str, kind: &str, name: &str) -> (Value, String) {
    let url = format!("http://{}/v2/{repository}/{kind}/{name}", registry.host());
    let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
    let answer = reqwest::Client::new().get(&url).header("Accept", accept).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{url}");
    let bytes = answer.bytes().await.unwrap();
    (serde_json::from_slice(&bytes).unwrap(), digest(&bytes))
}

/// The attestations of an image, each as its predicate's type and its statement; the index's digest.
async fn attested(registry: &DockerRegistry, repository: &str) -> (Vec<(String, Value)>, String) {
    let (index, digest) = fetch(registry, repository, "manifests", "1").await;
    let manifests = index["manifests"].as_array().unwrap_or_else(|| panic!("not an index: {index}"));
    let kind = "vnd.docker.reference.type";
    let attestations: Vec<&Value> =
        manifests.iter().filter(|manifest| manifest["annotations"][kind] == "attestation-manifest").collect();
    assert_eq!((manifests.len(), attestations.len()), (2, 1), "an image and what is attested about it: {index}");
    let (manifest, _) = fetch(registry, repository, "manifests", attestations[0]["digest"].as_str().unwrap()).await;
    let mut statements = Vec::new();
    for layer in manifest["layers"].as_array().unwrap() {
        let kind = layer["annotations"]["in-toto.io/predicate-type"].as_str().unwrap().to_owned();
        statements.push((kind, fetch(registry, repository, "blobs", layer["digest"].as_str().unwrap()).await.0));
    }
    (statements, digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn provenance_stands_beside_the_pushed_image_and_the_digest_is_that_of_both() {
    install_tls();
    let registry = DockerRegistry::open().await;
    let sandbox = project();
    let push = |repository: &str, flags: &[&str]| {
        let name = format!("{}/{repository}:1", registry.host());
        let argument = format!("SAID={ARGUMENT}");
        let common = ["-t", &name, "--build-arg", &argument, "--progress=quiet"];
        sandbox.build(common.iter().chain(flags)).assert_code(0).envelope()
    };
    for (repository, flags, is_told) in [
        ("team/max", &["--provenance=max"][..], true),
        ("team/min", &["--provenance"], false),
        ("team/long", &["--attest", "type=provenance,mode=max"], true),
    ] {
        let envelope = push(repository, flags);
        let (statements, digest) = attested(&registry, repository).await;
        assert_eq!(envelope["image"]["digest"], digest.as_str(), "{envelope}");
        assert_eq!(envelope["image"]["platform"].as_str().map(|platform| &platform[..6]), Some("linux/"));
        assert_eq!(envelope["warnings"], json!([]), "{envelope}");
        let [(kind, statement)] = &statements[..] else { panic!("{statements:?}") };
        assert!(kind.contains("slsa.dev/provenance"), "{kind}");
        assert_eq!(statement.to_string().contains(ARGUMENT), is_told, "{repository}: {statement}");
    }
    for (repository, flags) in [("team/plain", &[][..]), ("team/off", &["--provenance=false", "--sbom=false"])] {
        push(repository, flags);
        let (manifest, _) = fetch(&registry, repository, "manifests", "1").await;
        assert!(manifest["layers"].is_array() && manifest["manifests"].is_null(), "{repository}: {manifest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sbom_is_made_by_the_generator_that_was_named() {
    install_tls();
    let registry = DockerRegistry::open().await;
    let generator = format!("{}/tools/scan:1", registry.host());
    let scanner = Sandbox::new();
    scanner.dockerfile_on_base(concat!(
        r#"ENTRYPOINT ["/bin/sh", "-c", "ls $BUILDKIT_SCAN_SOURCE | grep -qx file && "#,
        r#"printf '{\"predicateType\":\"https://spdx.dev/Document\",\"predicate\":{\"name\":\"seen\"}}' "#,
        r#">$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"]"#
    ));
    scanner.build(["-t", &generator, "--progress=quiet"]).assert_code(0);

    let sandbox = project();
    let (name, sbom) = (format!("{}/team/app:1", registry.host()), format!("--sbom=generator={generator}"));
    let plan = sandbox.run(["plan", "context", "-t", "r.example/app:1", "--format=json", &sbom]).envelope();
    assert_eq!(plan["plan"]["reach"]["pulls_from"], json!([registry.host()]), "{plan}");
    let plan = sandbox.run(["plan", "context", "-t", "r.example/app:1", "--format=json", "--sbom"]).envelope();
    assert_eq!(plan["plan"]["reach"]["pulls_from"], json!(["docker.io"]), "{plan}");

    let envelope = sandbox.build(["-t", &name, &sbom, "--progress=quiet"]).assert_code(0).envelope();
    let (statements, digest) = attested(&registry, "team/app").await;
    assert_eq!(envelope["image"]["digest"], digest.as_str());
    let [(kind, statement)] = &statements[..] else { panic!("{statements:?}") };
    assert_eq!((kind.as_str(), &statement["predicate"]["name"]), ("https://spdx.dev/Document", &json!("seen")));
}

#[test]
fn files_and_archives_take_provenance_with_them() {
    let sandbox = project();
    let path = |name: &str| sandbox.path().join(name).display().to_string();
    let (files, layout) = (path("files"), path("layout"));
    let outputs = [format!("type=local,dest={files}"), format!("type=oci,tar=false,dest={layout}")];
    let outputs = outputs.iter().flat_map(|output| ["-o", output.as_str()]);
    sandbox.build(outputs.chain(["--provenance=max", "--progress=quiet"])).assert_code(0);
    let read = |name: &str| serde_json::from_slice::<Value>(&std::fs::read(name).unwrap()).unwrap();
    assert!(read(&format!("{files}/provenance.json"))["predicateType"].as_str().unwrap().contains("provenance"));
    let index = read(&format!("{layout}/index.json"));
    let inner = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
    assert_eq!(read(&format!("{layout}/blobs/{inner}"))["manifests"].as_array().unwrap().len(), 2, "{index}");
    // Without any wish the image is kept, in the format that has a place for it.
    let plan = sandbox.run(["plan", "context", "--format=json", "--provenance"]).assert_code(0).envelope();
    assert!(plan["plan"]["argv"].to_string().contains("--output=type=oci,"), "{plan}");
    let envelope = sandbox.build(["--provenance=max", "--progress=quiet"]).assert_code(0).envelope();
    assert!(envelope["image"]["digest"].as_str().unwrap().starts_with("sha256:"), "{envelope}");
}

#[test]
fn what_cannot_be_attested_is_refused_before_a_lease() {
    let sandbox = project();
    for (arguments, word) in [
        (&["--provenance=mod=max"][..], "did you mean `mode`"),
        (&["--provenance", "--attest=type=provenance"], "the same attestation"),
        (&["--sbom", "--load"], "`--load`: an archive for Docker"),
        (&["--load", "--build-arg=BUILDKIT_ATTEST_PROVENANCE=mode=max"], "`--load`: an archive for Docker"),
        (&["--provenance", "--output=type=docker,dest=x.tar"], "`--output type=docker`"),
        (&["--sbom", "--build-arg=BUILDKIT_ATTEST_SBOM=generator=x"], "BUILDKIT_ATTEST_SBOM"),
    ] {
        let envelope = sandbox.build(arguments).assert_code(2).envelope();
        assert_eq!(envelope["attempts"], json!([]));
        assert!(envelope["error"].to_string().contains(word), "{envelope}");
    }
}
