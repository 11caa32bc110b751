//! The Nickel contracts and the Rust types say the same: the same fields, required, optional or with the same default, the
//! same tags. One that gains something the other has not makes a test fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lian_build::inputs::directives::DirectivesFile;
use lian_build::inputs::nickel::{Contract, Document, Evaluator, Limits};
use lian_build::inputs::policy::Policy;
use lian_build::inputs::spec::BuildSpec;
use nickel_lang_core::eval::cache::CacheImpl;
use nickel_lang_core::eval::value::{Container, NickelValue};
use nickel_lang_core::program::ProgramBuilder;
use nickel_lang_core::term::record::Field;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Contract file, record in it, JSON Schema, and the type that has the record's shape.
const RECORDS: &[(&str, &str, &str, &str)] = &[
    ("build_directives", "BuildDirectives", "directives", "BuildDirectives"),
    ("build_directives", "BuildArtifact", "directives", "BuildArtifact"),
    ("build_directives", "Output", "directives", "Output"),
    ("build_directives", "RunnerOverrideFields", "directives", "RunnerOverride"),
    ("build_directives", "NatsEventConfig", "directives", "NatsEventConfig"),
    ("build_directives", "ComputeOptions.docker_local", "directives", "DockerLocalOptions"),
    ("build_directives", "ComputeOptions.hcloud", "directives", "HcloudOptions"),
    ("build_directives", "ComputeOptions.proxmox", "directives", "ProxmoxOptions"),
    ("build_directives", "ComputeOptions.vm_pool", "directives", "VmPoolOptions"),
    ("build_directives", "RegistryOptions.zot", "directives", "RegistryOptions"),
    ("build_directives", "RegistryOptions.harbor", "directives", "RegistryOptions"),
    ("build_directives", "RegistryOptions.ghcr", "directives", "RegistryOptions"),
    ("build_directives", "RegistryOptions.dockerhub", "directives", "RegistryOptions"),
    ("build_directives", "RegistryOptions.oci", "directives", "RegistryOptions"),
    ("cache_policy", "CachePolicy", "directives", "CachePolicy"),
    ("cache_policy", "Namespaces", "directives", "Namespaces"),
    ("policy", "Policy", "policy", "Policy"),
    ("policy", "Caps", "policy", "Caps"),
    ("policy", "Money", "policy", "Money"),
    ("policy", "MinimumIsolation", "policy", "MinimumIsolation"),
    ("policy", "SecretBindingFields", "policy", "SecretBindingRule"),
    ("policy", "SshBinding", "policy", "SshBindingRule"),
    ("serve", "Serve", "serve", "ServeConfig"),
    ("serve", "Tls", "serve", "TlsFiles"),
    ("build_spec", "Fields", "build-spec", "BuildSpec"),
];

/// Types whose contract is no record: a provider without options, and a kind with its options.
const NO_RECORDS: &[&str] = &["LocalOptions", "RegistryProviderRef"];

/// What a field is to whoever writes a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
    Default,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

// The contracts, read as Nickel's own tools read them.

type Fields = BTreeMap<String, (Presence, String)>;

/// Every record of declarations in a contract file: its fields with their documentation.
fn contracts(file: &str) -> BTreeMap<String, Fields> {
    let path = root().join("schemas").join(format!("{file}.ncl"));
    let mut program = ProgramBuilder::new().add_path(path).build::<CacheImpl>().unwrap();
    let value = program.eval_record_spine().unwrap_or_else(|error| panic!("{file}: {error:?}"));
    let mut found = BTreeMap::new();
    visit(&value, "", &mut found);
    assert!(!found.is_empty(), "{file} has no contract");
    found
}

fn visit(value: &NickelValue, path: &str, found: &mut BTreeMap<String, Fields>) {
    let Some(record) = value.as_record().and_then(Container::into_opt) else { return };
    let documentation = |field: &Field| field.metadata.0.as_ref().and_then(|metadata| metadata.doc.clone());
    let is_declaration = |field: &Field| field.value.is_none() || documentation(field).is_some();
    let fields = record.fields.iter().map(|(name, field)| (name.label().to_owned(), field));
    if record.fields.values().any(is_declaration) {
        let facts = fields.map(|(name, field)| {
            let is_optional = field.metadata.0.as_ref().is_some_and(|metadata| metadata.opt);
            let presence = match (is_optional, &field.value) {
                (true, _) => Presence::Optional,
                (false, Some(_)) => Presence::Default,
                (false, None) => Presence::Required,
            };
            (name, (presence, documentation(field).unwrap_or_default().to_string()))
        });
        found.insert(path.to_owned(), facts.collect());
    } else {
        for (name, field) in fields {
            if let Some(inner) = &field.value {
                visit(inner, format!("{path}.{name}").trim_start_matches('.'), found);
            }
        }
    }
}

// The types, by their JSON Schemas.

/// A shipped schema.
pub(crate) fn schema(name: &str) -> Value {
    let path = root().join("schemas/json").join(format!("{name}.v1.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The schema of a type in it.
pub(crate) fn type_schema<'a>(schema: &'a Value, name: &str) -> &'a Value {
    if schema["title"] == name { schema } else { &schema["$defs"][name] }
}

fn presences(schema: &Value) -> BTreeMap<String, Presence> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().unwrap_or_else(|| panic!("no properties: {schema}"));
    let presence = |name: &str, property: &Value| {
        if required.contains(&name) {
            Presence::Required
        } else if property.get("default").is_some_and(|default| !default.is_null()) {
            Presence::Default
        } else {
            Presence::Optional
        }
    };
    properties.iter().map(|(name, property)| (name.clone(), presence(name, property))).collect()
}

#[test]
fn contracts_and_types_have_the_same_fields() {
    let mut read = BTreeMap::new();
    for &(file, record, json, name) in RECORDS {
        let contracts = read.entry(file).or_insert_with(|| contracts(file));
        let fields = contracts.get(record).unwrap_or_else(|| panic!("{file} has no {record}: {:?}", contracts.keys()));
        let ours: BTreeMap<String, Presence> =
            fields.iter().map(|(field, (presence, _))| (field.clone(), *presence)).collect();
        assert_eq!(ours, presences(type_schema(&schema(json), name)), "contract {record}, type {name}");
    }
}

#[test]
fn no_record_and_no_type_is_left_out() {
    for file in ["build_directives", "cache_policy", "policy", "serve", "build_spec"] {
        for record in contracts(file).keys() {
            let known = RECORDS.iter().any(|row| row.0 == file && row.1 == record);
            assert!(known, "the contract {record} of {file} is compared with no type");
        }
    }
    for json in ["directives", "policy", "serve", "build-spec"] {
        let schema = schema(json);
        let root = (schema["title"].as_str().unwrap(), &schema);
        let inner = schema["$defs"].as_object().into_iter().flatten().map(|(name, schema)| (name.as_str(), schema));
        for (name, _) in inner.chain([root]).filter(|(_, schema)| schema.get("properties").is_some()) {
            let known = NO_RECORDS.contains(&name) || RECORDS.iter().any(|row| row.2 == json && row.3 == name);
            assert!(known, "the type {name} of {json} is compared with no contract");
        }
    }
}

#[test]
fn every_field_of_every_schema_is_documented() {
    let directory = root().join("schemas");
    let mut files = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // `common.ncl` has no records.
        if path.extension().is_none_or(|extension| extension != "ncl") || name == "common" {
            continue;
        }
        files += 1;
        for (record, fields) in contracts(&name) {
            for (field, (_, documentation)) in fields {
                assert!(!documentation.trim().is_empty(), "{name}: {record}.{field} has no doc");
            }
        }
    }
    assert!(files >= 6, "the schemas were not found");
}

// What goes through both.

/// The document's value under the contract, or the message.
async fn evaluate(directory: &Path, name: &str, contract: Contract) -> Result<Value, String> {
    // Debug builds evaluate many times slower than the program that users get.
    let limits = Limits { cpu_seconds: 60, wall: Duration::from_secs(120), ..Limits::default() };
    let evaluator = Evaluator::of_program(env!("CARGO_BIN_EXE_lian-build")).limits(limits);
    let mut values = evaluator
        .evaluate(vec![Document::file(directory, name, "", contract)])
        .await
        .map_err(|error| error.message())?;
    Ok(values.remove(0).value)
}

async fn evaluate_text(text: &str, contract: Contract) -> Result<Value, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("x.ncl"), text).unwrap();
    evaluate(directory.path(), "x.ncl", contract).await
}

fn through<T: DeserializeOwned + Serialize>(value: &Value) -> Value {
    let typed: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value:#}"));
    serde_json::to_value(typed).unwrap()
}

/// The paths of all fields that the schema describes, or with a value those that it has.
pub(crate) fn paths(schema: &Value, root: &Value, value: Option<&Value>, path: &str, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.strip_prefix("#/$defs/").unwrap();
        return paths(&root["$defs"][name], root, value, path, found);
    }
    for alternative in ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()).flatten() {
        let kind = &alternative["properties"]["kind"]["const"];
        if value.is_none_or(|value| kind.is_null() || value["kind"] == *kind) {
            let path = kind.as_str().map_or_else(|| path.to_owned(), |kind| format!("{path}<{kind}>"));
            paths(alternative, root, value, &path, found);
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let inner = value.map(|value| &value[name]);
        if inner.is_none_or(|inner| !inner.is_null()) {
            let path = format!("{path}.{name}");
            found.insert(path.clone());
            paths(property, root, inner, &path, found);
        }
    }
    let elements = value.map(|value| value.as_array().into_iter().flatten().collect::<Vec<_>>());
    let entries = value.map(|value| value.as_object().into_iter().flat_map(|map| map.values()).collect::<Vec<_>>());
    for (key, mark, inner) in [("items", "[]", elements), ("additionalProperties", ".*", entries)] {
        if !schema[key].is_object() {
            continue;
        }
        let path = format!("{path}{mark}");
        match inner {
            None => paths(&schema[key], root, None, &path, found),
            Some(values) => values.into_iter().for_each(|value| paths(&schema[key], root, Some(value), &path, found)),
        }
    }
}

/// The document sets every field of the type, and comes through Nickel and through the type as it is.
async fn everything<T: DeserializeOwned + Serialize>(name: &str, contract: Contract, json: &str, of: &str) {
    let value = evaluate(&root().join("tests/fixtures/contracts"), name, contract).await;
    let value = value.unwrap_or_else(|message| panic!("{message}"));
    assert_eq!(through::<T>(&value), value);
    let schema = schema(json);
    let (mut described, mut set) = (BTreeSet::new(), BTreeSet::new());
    paths(type_schema(&schema, of), &schema, None, "", &mut described);
    paths(type_schema(&schema, of), &schema, Some(&value), "", &mut set);
    assert_eq!(set, described, "{name} does not set every field of {of}");
}

#[tokio::test]
async fn every_field_comes_through_nickel_and_through_the_types() {
    everything::<DirectivesFile>("directives.ncl", Contract::Directives, "directives", "BuildDirectives").await;
    everything::<Policy>("policy.ncl", Contract::Policy, "policy", "Policy").await;
    everything::<BuildSpec>("build_spec.ncl", Contract::BuildSpec, "build-spec", "BuildSpec").await;
}

#[tokio::test]
async fn what_is_left_out_is_the_same_on_both_sides() {
    let directives = r#"{
        "workspace": "x", "cache_policy": { "actor": "ci" }, "nats_events": {}, "runner_override": {},
        "artifact": { "outputs": [{ "type": "tar", "dest": "x" }] }
    }"#;
    let policy = r#"{ "caps": { "cost_per_day": { "amount": 1.5 } }, "ssh": { "a": {} } }"#;
    // JSON is Nickel, but for the keys' colons.
    for (json, contract, typed) in [
        (directives, Contract::Directives, through::<DirectivesFile> as fn(&Value) -> Value),
        (r#"{ "workspace": "x", "cache_policy": { "actor": "ci" } }"#, Contract::Directives, through::<DirectivesFile>),
        (policy, Contract::Policy, through::<Policy>),
        ("{}", Contract::Policy, through::<Policy>),
        ("{}", Contract::BuildSpec, through::<BuildSpec>),
    ] {
        let value = evaluate_text(&json.replace(':', "="), contract).await.unwrap();
        assert_eq!(typed(&serde_json::from_str(json).unwrap()), value, "{json}");
    }
}

/// All strings that the schema of a type names as its only values.
fn tags(schema: &Value) -> BTreeSet<String> {
    let here = schema["const"].as_str().into_iter();
    let several = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut tags: BTreeSet<String> = here.chain(several).map(str::to_owned).collect();
    for alternative in schema["oneOf"].as_array().into_iter().flatten() {
        tags.extend(self::tags(alternative));
        tags.extend(self::tags(&alternative["properties"]["kind"]));
    }
    tags
}

#[tokio::test]
async fn contracts_and_types_know_the_same_tags() {
    let with = |rest: &str| format!("{{ workspace = \"x\", cache_policy.actor = 'ci, {rest} }}");
    for (text, contract, json, name) in [
        ("{ workspace = \"x\", cache_policy.actor = '@ }".to_owned(), Contract::Directives, "directives", "Actor"),
        (with("cache_policy.disposition = '@"), Contract::Directives, "directives", "Disposition"),
        (with("artifact.kind = '@"), Contract::Directives, "directives", "BuildKindTag"),
        (with("artifact.provenance = '@"), Contract::Directives, "directives", "Provenance"),
        (with("artifact.network = '@"), Contract::Directives, "directives", "NetworkTag"),
        (with("artifact.outputs = [{ type = '@, dest = \"x\" }]"), Contract::Directives, "directives", "OutputTag"),
        (with("compute_provider = '@"), Contract::Directives, "directives", "ComputeProviderRef"),
        (with("registry_provider = '@"), Contract::Directives, "directives", "RegistryKind"),
        ("{ minimum_isolation.ci = '@ }".to_owned(), Contract::Policy, "policy", "Isolation"),
        ("{ keep_failed = ['@] }".to_owned(), Contract::Policy, "policy", "Actor"),
        ("{ providers = ['@] }".to_owned(), Contract::Policy, "directives", "ComputeProviderRef"),
    ] {
        let message = evaluate_text(&text.replace('@', "nonsense"), contract).await.unwrap_err();
        let listed = message.split("one of ").nth(1).unwrap_or_else(|| panic!("no list: {message}"));
        let words = listed.lines().next().unwrap().split(['\'', ',', ' ', '"', '.']);
        let known: BTreeSet<String> = words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
        assert_eq!(known, tags(type_schema(&schema(json), name)), "{text}");
    }
}
