//! Any text in any field, and any bytes at all: one document comes, and only a verdict. Every run has other cases; a failure
//! shows the file.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{Sandbox, assert_follows};

/// Every string that directives can have, written `@NAME` with what it says when it is not the one that is tried.
const DIRECTIVES: &[(&str, &str)] = &[
    ("workspace", "shop"),
    ("name", "web"),
    ("image", "r.example/shop:1"),
    ("context", "."),
    ("dockerfile", "Dockerfile"),
    ("target", "last"),
    ("kind", "dockerfile"),
    ("platform", "linux/arm64"),
    ("arg", "A"),
    ("argument", "1"),
    ("label", "team"),
    ("labelled", "shop"),
    ("extra", "lib"),
    ("source", "docker-image://debian:13"),
    ("secret", "npm"),
    ("agent", "default"),
    ("provenance", "min"),
    ("network", "none"),
    ("type", "oci"),
    ("dest", "x.tar"),
    ("attr", "compression"),
    ("value", "zstd"),
    ("provider", "local"),
    ("runner_image", "runner:1"),
    ("location", "fsn1"),
    ("sized", "cax21"),
    ("machine", "debian-12"),
    ("node", "pve1"),
    ("template", "debian"),
    ("pool", "builds"),
    ("pooled", "hcloud"),
    ("registry", "oci"),
    ("host", "r.example:5000"),
    ("prefix", "team/cache"),
    ("actor", "human"),
    ("id", "jpl"),
    ("disposition", "discard"),
    ("read", "ci/*"),
    ("write", "dev/jpl-shop/x"),
    ("tier", "cax21"),
    ("url", "nats://n.example:4222"),
    ("subject", "acme.builds"),
];

const DIRECTIVES_TEXT: &str = "{ workspace = @workspace, name = @name, artifact = { image = [@image], context = @context,
  dockerfile = @dockerfile, target = @target, kind = @kind, platform = @platform, build_args = { @arg = @argument },
  labels = { @label = @labelled }, extra_contexts = { @extra = @source }, secrets = [@secret], ssh = [@agent],
  provenance = @provenance, network = @network, outputs = [{ type = @type, dest = @dest, attrs = { @attr = @value } }] },
  compute_provider = [@provider, 'docker_local { image = @runner_image }, 'hcloud { location = @location, image = @machine, runner_type = @sized },
    'proxmox { node = @node, template = @template, pool = @pool }, 'vm_pool { provider = @pooled }],
  registry_provider = { kind = @registry, options = { host = @host, prefix = @prefix } },
  cache_policy = { actor = @actor, actor_id = @id, disposition = @disposition, namespaces = { read = [@read], write = [@write] } },
  runner_override.runner_type = @tier, nats_events = { url = @url, subject_prefix = @subject } }";

/// The same for a policy.
const POLICY: &[(&str, &str)] = &[
    ("tier", "cax21"),
    ("currency", "EUR"),
    ("provider", "local"),
    ("push", "r.example"),
    ("pull", "docker.io/library"),
    ("builder", "b.example/x"),
    ("nats", "nats://n.example"),
    ("isolation", "container"),
    ("keeper", "human"),
    ("hosted", "ci"),
    ("secret", "npm"),
    ("src", "/etc/npm"),
    ("actor", "ci"),
    ("workspace", "shop"),
    ("agent", "default"),
    ("socket", "/run/agent"),
];

const POLICY_TEXT: &str = "{ caps = { runner_type = @tier, cost_per_day = { amount = 1, currency = @currency } },
  providers = [@provider], push_to = [@push], pull_from = [@pull], builders = [@builder], nats = [@nats],
  minimum_isolation.agent = @isolation, keep_failed = [@keeper], host_network = [@hosted],
  secrets = { @secret = { src = @src, actors = [@actor], workspaces = [@workspace] } }, ssh = { @agent = { socket = @socket } } }";

/// The same for a spec, and for a tiers file.
const SPEC: &[(&str, &str)] = &[("tier", "cax21"), ("key", "main")];
const SPEC_TEXT: &str = "{ runner_type = @tier, cache_keys = [@key] }";
const TIERS: &[(&str, &str)] = &[("name", "big")];
const TIERS_TEXT: &str = "{ tiers = [{ name = @name, cpu = 1, memory_gb = 1, disk_gb = 1 }] }";

/// A Nickel string of this text, every character that may mean something escaped.
fn literal(text: &str) -> Vec<u8> {
    let code = |letter: char| {
        if letter.is_ascii_alphanumeric() { letter.to_string() } else { format!("\\u{{{:x}}}", u32::from(letter)) }
    };
    format!("\"{}\"", text.chars().map(code).collect::<String>()).into_bytes()
}

/// The template with a literal for each of its strings.
fn filled(template: &str, fields: &[(&str, &str)], tried: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut pieces = template.split('@');
    let mut text = pieces.next().unwrap().as_bytes().to_vec();
    let mut used = 0;
    for piece in pieces {
        let end = piece.find(|letter: char| !(letter.is_ascii_lowercase() || letter == '_')).unwrap_or(piece.len());
        let (name, rest) = piece.split_at(end);
        let at = fields.iter().position(|(known, _)| *known == name).unwrap_or_else(|| panic!("no `{name}`"));
        used += 1;
        text.extend(tried[at].clone().unwrap_or_else(|| literal(fields[at].1)));
        text.extend(rest.as_bytes());
    }
    assert_eq!(used, fields.len(), "a field is not in the template");
    text
}

/// What a string may be: any text; text that is nearly right; and any bytes between quotes, as they are.
fn string() -> impl Strategy<Value = Vec<u8>> {
    let odd =
        ["", "\0", "\u{1b}[31m", "${sha}", "%{x}", "..", ".git/x", "\u{202e}x", "a\nb", "x://y", "-", "a,b=c", "[]"];
    let text = prop_oneof![
        any::<String>(),
        "[ -~]{0,20}",
        "(\\$|\\{|\\}|sha|%|/|\\.|:|@|'|\\\\|\"|,|=){0,12}",
        proptest::sample::select(odd.map(str::to_owned).to_vec()),
    ];
    let raw = proptest::collection::vec(any::<u8>(), 0..12);
    prop_oneof![
        5 => text.prop_map(|text| literal(&text)),
        1 => raw.prop_map(|bytes| [b"\"", bytes.as_slice(), b"\""].concat()),
    ]
}

/// Documents in which some of the strings, one at least, are tried ones: few, many, or all of them.
fn documents(template: &'static str, fields: &'static [(&str, &str)]) -> impl Strategy<Value = Vec<u8>> {
    let subset = |share: f64| proptest::collection::vec(proptest::option::weighted(share, string()), fields.len());
    let one = (0..fields.len(), string()).prop_map(move |(at, text)| {
        let mut tried = vec![None; fields.len()];
        tried[at] = Some(text);
        tried
    });
    let all = proptest::collection::vec(string().prop_map(Some), fields.len());
    let tried = prop_oneof![3 => one, 2 => subset(0.1), 1 => subset(0.5), 1 => all];
    tried.prop_map(move |tried| filled(template, fields, &tried))
}

/// Some values of a strategy.
fn some<T>(strategy: &impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let mut runner = TestRunner::new(Config::default());
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Checks files of this kind, which names end in, with these contents. How many were valid.
fn judged(ending: &str, files: &[Vec<u8>]) -> usize {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\n");
    let names: Vec<String> = (0..files.len()).map(|number| format!("{number}{ending}")).collect();
    for (name, content) in names.iter().zip(files) {
        sandbox.write(name, content);
    }
    let all =
        || files.iter().map(|file| String::from_utf8_lossy(file).into_owned()).collect::<Vec<_>>().join("\n---\n");
    let mut command = sandbox.command();
    command.args(["check", "--format=json"]).args(&names).current_dir(sandbox.context());
    let finished = sandbox.start(&mut command).wait();
    assert!(matches!(finished.code, 0 | 2), "{}: {}\n{}", finished.code, finished.stderr, all());
    let document = finished.envelope();
    assert_follows(&document, "check.v1.json");
    let checked = document["files"].as_array().unwrap();
    assert_eq!(checked.len(), files.len(), "{}", all());
    for (file, content) in checked.iter().zip(files) {
        let content = String::from_utf8_lossy(content);
        let diagnostics = file["diagnostics"].as_array().unwrap();
        assert_eq!(file["valid"].as_bool().unwrap(), diagnostics.is_empty(), "{content}");
        for fault in diagnostics {
            // The evaluator has neither died nor given up.
            assert!(fault["rule"] != "limit", "{content}: {fault}");
            assert!(fault["line"].as_u64().unwrap() >= 1 && !fault["message"].as_str().unwrap().is_empty(), "{fault}");
        }
    }
    checked.iter().filter(|file| file["valid"] == true).count()
}

#[test]
fn the_templates_are_valid_when_nothing_is_tried() {
    for (ending, template, fields) in [
        (".ncl", DIRECTIVES_TEXT, DIRECTIVES),
        (".policy.ncl", POLICY_TEXT, POLICY),
        (".build-spec.ncl", SPEC_TEXT, SPEC),
        (".tiers.ncl", TIERS_TEXT, TIERS),
    ] {
        assert_eq!(judged(ending, &[filled(template, fields, &vec![None; fields.len()])]), 1, "{ending}");
    }
}

#[test]
fn any_text_in_any_fields_of_directives_is_judged() {
    judged(".ncl", &some(&documents(DIRECTIVES_TEXT, DIRECTIVES), 24));
}

#[test]
fn any_text_in_any_fields_of_what_operators_write_is_judged() {
    judged(".policy.ncl", &some(&documents(POLICY_TEXT, POLICY), 14));
    judged(".build-spec.ncl", &some(&documents(SPEC_TEXT, SPEC), 6));
    judged(".tiers.ncl", &some(&documents(TIERS_TEXT, TIERS), 4));
}

#[test]
fn any_bytes_at_all_are_judged() {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "([{}\\[\\]=,'\"%|&.]|let |in |fun |import |a|1| ){0,40}".prop_map(String::into_bytes),
    ];
    judged(".ncl", &some(&bytes, 24));
}
