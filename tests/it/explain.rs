//! `plan --explain` against the formats themselves: whatever directives, a spec and a plan may have is explained. A field that
//! is new in one of them and has no line here makes a test fail.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::contracts::{paths, schema, type_schema};
use crate::support::Sandbox;

/// Directives that say everything, and can be planned with by anybody who is root.
const DIRECTIVES: &str = r#"{
  schema_version = 1, name = "web", workspace = "shop",
  artifact = {
    image = "r.example/shop:1", push = false, context = "api", dockerfile = "Dockerfile", kind = 'dockerfile, target = "last",
    build_args.PROFILE = "release", labels.team = "shop", platform = "linux/@", extra_contexts.lib = "lib",
    secrets = ["token"], ssh = ["default"],
    outputs = [{ type = 'oci, dest = "shop.tar", attrs.compression = "zstd" }],
    provenance = 'max, sbom = true, network = 'none, pull = true, no_cache = true,
  },
  compute_provider = [
    'local, 'docker_local { image = "runner:1" }, 'hcloud { location = "fsn1", image = "debian-12", runner_type = "small" },
    'proxmox { node = "pve1", template = "debian", pool = "builds", runner_type = "small" },
    'vm_pool { provider = 'hcloud, runner_type = "small" },
  ],
  registry_provider = 'zot { host = "r.example:5000", prefix = "team/cache" },
  cache_policy = {
    actor = 'human, actor_id = "jpl", disposition = 'rollback,
    namespaces = { read = ["ci/shop/*"], write = ["dev/jpl-shop/*"] },
  },
  runner_override = {
    runner_type = "small", cpu = 0.5, memory_gb = 0.25, disk_gb = 1, time_budget_min = 9, oom_retry = false,
  },
  nats_events = { enabled = true, url = "nats://127.0.0.1:1", subject_prefix = "acme.builds" },
}"#;

/// What each field of directives is explained as.
const OF_DIRECTIVES: &[(&str, &str)] = &[
    (".name", "select"),
    (".workspace", "workspace"),
    (".artifact.image", "image"),
    (".artifact.push", "push"),
    (".artifact.context", "context"),
    (".artifact.dockerfile", "dockerfile"),
    (".artifact.kind", "build_kind"),
    (".artifact.target", "target"),
    (".artifact.build_args", "build_arg.PROFILE"),
    (".artifact.labels", "label.team"),
    (".artifact.platform", "platform"),
    (".artifact.extra_contexts", "build_context.lib"),
    (".artifact.secrets", "secret.token"),
    (".artifact.ssh", "ssh.default"),
    (".artifact.outputs[].type", "output.*"),
    (".artifact.outputs[].dest", "output.*"),
    (".artifact.outputs[].attrs", "output.*"),
    (".artifact.provenance", "provenance"),
    (".artifact.sbom", "sbom"),
    (".artifact.network", "network"),
    (".artifact.pull", "pull"),
    (".artifact.no_cache", "no_cache"),
    (".compute_provider[]<local>.kind", "candidate.1"),
    (".compute_provider[]<docker_local>.kind", "candidate.2"),
    (".compute_provider[]<docker_local>.options.image", "candidate.2.image"),
    (".compute_provider[]<hcloud>.kind", "candidate.3"),
    (".compute_provider[]<hcloud>.options.location", "candidate.3.location"),
    (".compute_provider[]<hcloud>.options.image", "candidate.3.image"),
    (".compute_provider[]<hcloud>.options.runner_type", "candidate.3.runner_type"),
    (".compute_provider[]<proxmox>.kind", "candidate.4"),
    (".compute_provider[]<proxmox>.options.node", "candidate.4.node"),
    (".compute_provider[]<proxmox>.options.template", "candidate.4.template"),
    (".compute_provider[]<proxmox>.options.pool", "candidate.4.pool"),
    (".compute_provider[]<proxmox>.options.runner_type", "candidate.4.runner_type"),
    (".compute_provider[]<vm_pool>.kind", "candidate.5"),
    (".compute_provider[]<vm_pool>.options.provider", "candidate.5.provider"),
    (".compute_provider[]<vm_pool>.options.runner_type", "candidate.5.runner_type"),
    (".registry_provider.kind", "registry_provider"),
    (".registry_provider.options.host", "registry_provider"),
    (".registry_provider.options.prefix", "registry_provider"),
    (".cache_policy.actor", "actor"),
    (".cache_policy.actor_id", "actor_id"),
    (".cache_policy.disposition", "disposition"),
    (".cache_policy.namespaces.read", "cache.read"),
    (".cache_policy.namespaces.write", "cache.write"),
    (".runner_override.runner_type", "runner_type"),
    (".runner_override.cpu", "cpu"),
    (".runner_override.memory_gb", "memory_gb"),
    (".runner_override.disk_gb", "disk_gb"),
    (".runner_override.time_budget_min", "time_budget_min"),
    (".runner_override.oom_retry", "oom_retry"),
    (".nats_events.enabled", "nats_url"),
    (".nats_events.url", "nats_url"),
    (".nats_events.subject_prefix", "nats_subject_prefix"),
];

/// The same for a spec.
const OF_SPEC: &[(&str, &str)] = &[
    (".runner_type", "runner_type"),
    (".cpu", "cpu"),
    (".memory_gb", "memory_gb"),
    (".disk_gb", "disk_gb"),
    (".time_budget_min", "time_budget_min"),
    (".oom_retry", "oom_retry"),
    (".cache_keys", "cache_keys"),
];

/// The same for a plan; what follows from other values has why.
const OF_PLAN: &[(&str, Result<&str, &str>)] = &[
    ("argv", Err("follows from all of them")),
    ("build_kind", Ok("build_kind")),
    ("cache", Ok("cache.read")),
    ("context", Ok("context")),
    ("dockerfile", Ok("dockerfile")),
    ("logins", Err("the registries of `reach`")),
    ("notes", Err("words")),
    ("origins", Err("these are they")),
    ("platform", Ok("platform")),
    ("policy", Err("it has files and lines of its own")),
    ("price", Err("the provider's word")),
    ("provider", Ok("provider")),
    ("reach", Err("follows from all of them")),
    ("sizing", Ok("runner_type")),
    ("skipped", Err("words")),
    ("sizing.cpu", Ok("cpu")),
    ("sizing.disk_gb", Ok("disk_gb")),
    ("sizing.memory_gb", Ok("memory_gb")),
    ("sizing.reason", Err("words")),
    ("sizing.runner_type", Ok("runner_type")),
    ("sizing.source", Err("the `by` of `runner_type`")),
    ("sizing.time_budget_min", Ok("time_budget_min")),
];

/// The fields that a format has, without those that only hold others.
fn leaves(json: &str, of: &str) -> BTreeSet<String> {
    let schema = schema(json);
    let mut all = BTreeSet::new();
    paths(type_schema(&schema, of), &schema, None, "", &mut all);
    let holds_others = |path: &str| {
        all.iter().any(|other| other.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[', '<'])))
    };
    let leaves = all.iter().filter(|path| !holds_others(path) && *path != ".schema_version");
    leaves.map(|path| path.trim_end_matches(".*").to_owned()).collect()
}

fn assert_complete(json: &str, of: &str, known: &[(&str, &str)]) {
    let known: BTreeSet<String> = known.iter().map(|(path, _)| (*path).to_owned()).collect();
    // A provider without options has nothing below its kind.
    let fields: BTreeSet<String> =
        leaves(json, of).into_iter().filter(|path| !path.ends_with("<local>.options")).collect();
    assert_eq!(fields, known, "a field of {of} is not explained, or the table has one that is no more");
}

/// The origins of a plan, by their names; outputs are named by where they go.
fn origins(document: &Value) -> BTreeMap<String, Value> {
    let name = |origin: &Value| match origin["name"].as_str().unwrap() {
        name if name.starts_with("output.") => "output.*".to_owned(),
        name => name.to_owned(),
    };
    document["plan"]["origins"].as_array().unwrap().iter().map(|origin| (name(origin), origin.clone())).collect()
}

fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("api/Dockerfile", "FROM scratch AS last\n").write("lib/x", "").write("Dockerfile", "FROM scratch\n");
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    sandbox.write("ci/directives.ncl", DIRECTIVES.replace('@', architecture));
    sandbox
}

fn plan(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let tiers = sandbox.tiers(&[("small", 0.5)]);
    let mut command = sandbox.command();
    command.args(["plan", "--explain", "--format=json", "--tiers", tiers.to_str().unwrap()]).args(arguments);
    let finished = sandbox.start(command.current_dir(sandbox.context())).wait();
    finished.envelope()
}

#[test]
fn every_field_of_directives_is_explained_with_its_place() {
    assert_complete("directives", "BuildDirectives", OF_DIRECTIVES);
    let document = plan(&project(), &["--directives=ci/directives.ncl"]);
    let origins = origins(&document);
    for (field, name) in OF_DIRECTIVES {
        let origin = origins.get(*name).unwrap_or_else(|| panic!("{field}: there is no `{name}`: {document:#}"));
        assert_eq!(origin["by"], "directives", "{field}: {origin}");
        assert!(origin["from"].as_str().unwrap().contains("ci/directives.ncl:"), "{field}: {origin}");
    }
    // Each has the line on which it stands.
    for (name, line) in [("build_kind", 4), ("candidate.3.image", 11), ("cpu", 21), ("actor_id", 17), ("select", 2)] {
        let from = origins[name]["from"].as_str().unwrap();
        assert!(from.contains(&format!("ci/directives.ncl:{line}:")), "{name}: {from}");
    }
}

#[test]
fn every_field_of_a_spec_is_explained_with_its_place() {
    assert_complete("build-spec", "BuildSpec", OF_SPEC);
    let sandbox = project();
    sandbox.write(
        ".build-spec.ncl",
        "{ runner_type = \"small\", cpu = 0.5, memory_gb = 0.25, disk_gb = 1, time_budget_min = 9, oom_retry = false,
  cache_keys = [\"a\", \"b\"] }",
    );
    let origins = origins(&plan(&sandbox, &["--provider=local"]));
    for (field, name) in OF_SPEC {
        let origin = &origins[*name];
        assert_eq!(origin["by"], "spec", "{field}: {origin}");
        assert!(origin["from"].as_str().unwrap().contains(".build-spec.ncl:"), "{field}: {origin}");
    }
    assert_eq!((&origins["cache_keys"]["value"], &origins["actor_id"]["by"]), (&"a, b".into(), &"variable".into()));
}

#[test]
fn every_field_of_a_plan_is_explained_or_follows_from_others() {
    let schema = schema("plan");
    let fields = |of: &str, prefix: &str| {
        let fields = schema["$defs"][of]["properties"].as_object().unwrap();
        fields.keys().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>()
    };
    let described: BTreeSet<String> =
        fields("PlanBody", "").into_iter().chain(fields("SizingInfo", "sizing.")).collect();
    let known: BTreeSet<String> = OF_PLAN.iter().map(|(field, _)| (*field).to_owned()).collect();
    assert_eq!(described, known);
    let origins = origins(&plan(&project(), &["--provider=local"]));
    for (field, name) in OF_PLAN {
        assert!(name.is_err() || name.is_ok_and(|name| origins.contains_key(name)), "{field}");
    }
}

#[test]
fn an_actor_id_that_nobody_said_is_not_said_to_come_from_a_flag() {
    let sandbox = project();
    let mut command = sandbox.command();
    command.args(["plan", "--explain", "--format=json", "--provider=local"]).env_remove("USER");
    let origins = origins(&sandbox.start(command.current_dir(sandbox.context())).wait().envelope());
    let actor_id = &origins["actor_id"];
    assert_eq!((&actor_id["value"], &actor_id["by"]), (&"human".into(), &"default".into()));
    assert!(!actor_id["from"].as_str().unwrap().contains("--"), "{actor_id}");
}
