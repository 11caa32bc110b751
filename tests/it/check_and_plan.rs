//! `check` and `plan` keep the same rules: what `check` calls valid, `plan` does not refuse for its text, and the other way
//! round.

use serde_json::Value;

use crate::support::Sandbox;

/// A project in which all that is named below is there, and a plan can be made.
fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\n").write("lib/a", "a").write("sub/Dockerfile.dev", "FROM scratch\n");
    sandbox.write("sub/Dockerfile", "# syntax=evil.example/front:1\nFROM scratch\n");
    std::fs::create_dir(sandbox.context().join(".git")).unwrap();
    sandbox
}

/// The faults that `check` finds, and what `plan` refuses with, if it does.
fn judged(sandbox: &Sandbox, directives: &str) -> (Vec<String>, Option<String>) {
    sandbox.write("d.ncl", directives);
    let run = |arguments: &[&str]| {
        let mut command = sandbox.command();
        command.args(arguments).current_dir(sandbox.context());
        sandbox.start(&mut command).wait()
    };
    let checked = run(&["check", "--format=json", "d.ncl"]).envelope();
    let faults = checked["files"][0]["diagnostics"].as_array().unwrap();
    let faults = faults.iter().map(|fault| format!("{}: {}", fault["path"], fault["message"])).collect();
    let mut plan = vec!["plan", "--format=json", "--directives=d.ncl"];
    if directives.trim_start().starts_with('[') {
        plan.push("--select=web");
    }
    let planned = run(&plan).envelope();
    let refusal = match &planned["plan"] {
        Value::Null => Some(planned["error"]["message"].as_str().unwrap().to_owned()),
        _ => None,
    };
    (faults, refusal)
}

/// Whether `fields` in directives of `actor` are judged alike, as `fits`.
fn alike(sandbox: &Sandbox, actor: &str, fields: &str, fits: bool) {
    let text = format!(
        "{{ workspace = \"shop\", cache_policy.actor = '{actor}, compute_provider | default = 'local, {fields} }}"
    );
    let (faults, refusal) = judged(sandbox, &text);
    assert_eq!(faults.is_empty(), fits, "check: {fields}: {faults:?}");
    assert_eq!(refusal.is_none(), fits, "plan: {fields}: {refusal:?}");
}

#[test]
fn what_is_built_is_judged_alike() {
    let sandbox = project();
    for (fields, fits) in [
        ("", true),
        ("artifact.context = \"sub\"", true),
        ("artifact.context = \"none\"", false),
        ("artifact.context = \"Dockerfile\"", false),
        ("artifact.context = \"https://example.org/x.git\"", false),
        ("artifact = { context = \"sub\", dockerfile = \"Dockerfile.dev\" }", true),
        ("artifact = { context = \"sub\", dockerfile = \"Dockerfile.none\" }", false),
        ("artifact = { context = \"sub\", secrets = [\"npm\"] }", false),
        ("artifact = { context = \"sub\", dockerfile = \"Dockerfile.dev\", secrets = [\"npm\"] }", true),
        ("artifact = { secrets = [\"npm\"], build_args.BUILDKIT_SYNTAX = \"evil.example/x\" }", false),
        ("artifact.kind = 'dockerfile", true),
        ("artifact.kind = 'cnb", false),
        ("artifact.extra_contexts = { lib = \"lib\", base = \"docker-image://debian:13\" }", true),
        ("artifact.extra_contexts.lib = \"git://example.org/x\"", false),
        ("artifact.extra_contexts.lib = \"https://example.org/x.git\"", false),
        ("artifact.extra_contexts.lib = \"oci-layout:x\"", false),
        ("artifact.extra_contexts.\"A b\" = \"lib\"", false),
    ] {
        alike(&sandbox, "human", fields, fits);
    }
}

#[test]
fn what_comes_out_is_judged_alike() {
    let sandbox = project();
    let output =
        |kind: &str, dest: &str, attrs: &str| format!("{{ type = '{kind}, dest = \"{dest}\", attrs = {{ {attrs} }} }}");
    let [tar, docker] = [output("tar", "x.tar", ""), output("docker", "y.tar", "")];
    for (fields, fits) in [
        ("image = \"r.example/shop:${actor_id}\"".to_owned(), true),
        ("image = \"r.example/shop:${aktor_id}\"".to_owned(), false),
        ("image = \"r.example/Shop:1\"".to_owned(), false),
        (format!("outputs = [{tar}, {docker}]"), true),
        (format!("outputs = [{tar}, {}]", output("oci", "x.tar", "")), false),
        (format!("outputs = [{}]", output("oci", "x.tar", "compression = \"zstd\"")), true),
        (format!("outputs = [{}]", output("oci", "x.tar", "compresion = \"zstd\"")), false),
        (format!("outputs = [{docker}], sbom = true"), false),
        (format!("outputs = [{docker}], provenance = 'min"), false),
        (format!("outputs = [{docker}], build_args.BUILDKIT_ATTEST_SBOM = \"\""), false),
        ("sbom = true, build_args.BUILDKIT_ATTEST_SBOM = \"\"".to_owned(), false),
    ] {
        alike(&sandbox, "human", &format!("artifact = {{ {fields} }}"), fits);
    }
}

#[test]
fn size_and_caches_are_judged_alike() {
    let sandbox = project();
    for (fields, fits) in [
        ("runner_override = { runner_type = \"cax11\", cpu = 2, memory_gb = 4 }", true),
        ("runner_override = { runner_type = \"cax11\", cpu = 3 }", false),
        ("runner_override = { runner_type = \"cax11\", disk_gb = 41 }", false),
        ("runner_override = { runner_type = \"cax12\" }", false),
        ("runner_override = { cpu = 64, memory_gb = 4 }", false),
        ("runner_override = { disk_gb = 5000 }", false),
        ("nats_events.url = \"nats://n.example:99999\"", false),
    ] {
        alike(&sandbox, "human", fields, fits);
    }
    for (actor, fields, fits) in [
        ("ci", "read = [\"ci/*\"], write = [\"ci/shop/x\"]", true),
        ("ci", "read = [\"dev/ann-shop/*\"]", false),
        ("ci", "write = [\"ci/other/*\"]", false),
        ("human", "write = [\"ci/shop/*\"]", false),
        ("human", "read = [\"dev/*\"]", false),
    ] {
        alike(&sandbox, actor, &format!("cache_policy.namespaces = {{ {fields} }}"), fits);
    }
    for (id, fits) in [("ann", true), ("bob", false)] {
        let fields = format!("cache_policy = {{ actor_id = \"{id}\", namespaces.read = [\"dev/ann-shop/*\"] }}");
        alike(&sandbox, "human", &fields, fits);
    }
}

#[test]
fn a_provider_has_to_be_one_of_this_version() {
    use lian_build::provider::choice::KNOWN;
    let sandbox = project();
    let planned: Vec<&str> =
        ["hcloud", "proxmox", "vm_pool"].into_iter().filter(|name| !KNOWN.contains(name)).collect();
    let tags = planned.iter().map(|name| format!("'{name}")).collect::<Vec<_>>().join(", ");
    if !planned.is_empty() {
        alike(&sandbox, "human", &format!("compute_provider = [{tags}]"), false);
    }
    alike(
        &sandbox,
        "human",
        &format!("compute_provider = [{tags}{}'local]", if tags.is_empty() { "" } else { ", " }),
        true,
    );
    alike(&sandbox, "human", "compute_provider = []", false);
}

#[test]
fn several_directives_are_judged_alike() {
    let sandbox = project();
    let one = |fields: &str| format!("{{ workspace = \"shop\", cache_policy.actor = 'human, {fields} }}");
    let web = one("name = \"web\", compute_provider = 'local");
    for (text, fits) in [
        (format!("[{web}]"), true),
        (format!("[{web}, {}]", one("name = \"api\"")), true),
        (format!("[{web}, {}]", one("")), false),
        (format!("[{web}, {web}]"), false),
        ("[]".to_owned(), false),
    ] {
        let (faults, refusal) = judged(&sandbox, &text);
        assert_eq!((faults.is_empty(), refusal.is_none()), (fits, fits), "{text}: {faults:?} {refusal:?}");
    }
}
