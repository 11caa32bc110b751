//! Evaluates documents in this process. Only the child calls it: see [`super::child`].

use std::path::PathBuf;

use nickel_lang_core::cache::CacheHub;
use nickel_lang_core::error::NullReporter;

use super::checked::Checked;
use super::diagnose::Scene;
use super::diagnostic::{Diagnostic, Rule};
use super::evaluated::Evaluated;
use super::loader::{LoadError, Loaded, Loader};
use super::round::{Main, Round};
use super::rounds::Subject;
use super::survey::{Fault, Survey, Vm};
use super::wire::{Answer, Document};

/// Says what becomes of each of `documents`, checked against its contract.
///
/// `say` also hears which document is worked on. `seal` is called when everything is read and before anything is
/// evaluated: from then on no file needs to be opened.
pub(super) fn evaluate(documents: &[Document], say: &dyn Fn(&Answer), seal: impl FnOnce()) {
    let mut hub = CacheHub::new();
    let mut loader = Loader::new(&mut hub);
    let mut mains = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        say(&Answer::Busy(number));
        match loader.load(&mut hub, document) {
            Ok(loaded) => {
                let main = Main::new(&mut hub, number, &loaded, document.contract, &[]);
                mains.push((number, document, main, loaded));
            }
            Err(error) => {
                let diagnostics = unloadable(&mut hub, &loader, &document.shown(), error);
                say(&Answer::Checked(number, Checked::invalid(diagnostics)));
            }
        }
    }
    seal();
    let mut vm = Vm::new(hub, std::io::sink(), NullReporter {});
    for (number, document, main, loaded) in mains {
        say(&Answer::Busy(number));
        let round = Round::run(&mut vm, main);
        say(&Answer::Checked(number, checked(&mut vm, &loader, document, loaded, round)));
    }
    // The process ends now; taking the evaluator's graph apart would only cost time, and stack.
    std::mem::forget(vm);
}

/// What the first evaluation of a document means for it.
fn checked(vm: &mut Vm, loader: &Loader, document: &Document, loaded: Loaded, round: Round) -> Checked {
    if let Some(value) = round.value {
        let places = round.survey.places(&vm.import_resolver.sources.files, loader);
        let imports = loaded.imports.into_iter().map(PathBuf::into_os_string).collect();
        return Checked::valid(Evaluated { value, places, warnings: loaded.warnings, imports });
    }
    let shown = document.shown();
    let subject = Subject { loader, loaded: &loaded, contract: document.contract, shown: &shown };
    let (diagnostics, partial) = subject.all_that_is_wrong(vm, round);
    Checked::invalid(diagnostics).seen(partial)
}

/// Why a document could not be loaded.
fn unloadable(hub: &mut CacheHub, loader: &Loader, shown: &str, error: LoadError) -> Vec<Diagnostic> {
    let errors = match error {
        LoadError::Unreadable(reason) => return vec![Diagnostic::of_file(shown, Rule::Unreadable, reason)],
        LoadError::Nickel(errors) => errors,
    };
    let survey = Survey::default();
    let mut scene = Scene { files: &mut hub.sources.files, loader, document: shown, survey: &survey };
    errors.into_iter().flat_map(|error| scene.tell(Fault { path: None, doc: None, error })).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::inputs::directives::DirectivesFile;
    use crate::inputs::nickel::{Contract, Partial};
    use crate::inputs::policy::Policy;

    fn spec(text: &str) -> Result<serde_json::Value, String> {
        evaluated(Contract::BuildSpec, text).map(|evaluated| evaluated.value)
    }

    #[test]
    fn every_field_has_the_place_where_it_was_set() {
        let text = "let big = {\n  memory_gb = 4,\n} in\n{\n  cpu = 2,\n  cache_keys = [\"a\",\n    \"b\"],\n} & big";
        let places = evaluated(Contract::BuildSpec, text).unwrap().places;
        for (path, place) in [
            ("cpu", "x.ncl:5:3"),
            ("memory_gb", "x.ncl:2:3"),
            ("cache_keys", "x.ncl:6:3"),
            ("cache_keys[1]", "x.ncl:7:5"),
        ] {
            assert_eq!(places.get(path).map(ToString::to_string).as_deref(), Some(place), "{path}");
        }
        let default = places.get("oom_retry").unwrap();
        assert_eq!(default.file, "lian/schemas/build_spec.ncl");
        assert!(places.get("disk_gb").is_none());
    }

    #[test]
    fn a_spec_gets_its_defaults_from_the_schema() {
        let value = spec("{ cpu = 4, memory_gb = 7.5 }").unwrap();
        let expected = serde_json::json!({
            "schema_version": 1, "cpu": 4, "memory_gb": 7.5, "oom_retry": true, "cache_keys": []
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn every_invalid_spec_is_told_what_is_wrong_and_where() {
        for (text, wrong, place) in [
            ("{ cpu = 0, memory_gb = 4 }", "cpu is 0: it has to be above 0 and at most 256", "1:9"),
            ("{\n  memory_gb = 4,\n  cpu = -1,\n}", "cpu is -1: it has to be above 0 and at most 256", "3:9"),
            ("{ cpu = 1.5e9, memory_gb = 4 }", "cpu is 1500000000: it has to be above 0", "1:9"),
            ("{ cpu = 257, memory_gb = 4 }", "cpu is 257: it has to be above 0 and at most 256", "1:9"),
            (
                "{\n  cpu = \"4\", memory_gb = 4 }",
                "cpu is no number, written without quotes: it has to be above 0",
                "2:9",
            ),
            ("{ cpu = 0 / 0, memory_gb = 4 }", "division by zero", "1:9"),
            ("{ cpu = 2, memory_gb = 0 }", "memory_gb is 0: it has to be above 0", "1:24"),
            ("{ cpu = 2, memory_gb = 4097 }", "memory_gb is 4097: it has to be above 0 and at most 4096", "1:24"),
            ("{ time_budget_min = 1441 }", "time_budget_min is 1441: it has to be above 0 and at most 1440", "1:21"),
            ("{ disk_gb = -3 }", "disk_gb is -3: it has to be above 0", "1:13"),
            ("{ oom_retry = 1 }", "`oom_retry` is a Number, and has to be a Bool", "1:15"),
            ("{ cache_keys = [1] }", "`cache_keys[0]` is a Number, and has to be a String", "1:17"),
            ("{ runner_type = 'cax21 }", "`runner_type` is a tag, and has to be a String", "1:17"),
            ("{ schema_version = 2 }", "schema_version is not 1, the only version", "1:20"),
            ("{ cpu = 2, memory_gp = 4 }", "unknown field `memory_gp`: did you mean `memory_gb`?", "1:12"),
            ("{ oom_retry = false, colour = 4 }", "unknown field `colour`\n", "1:22"),
            ("{ cpu = 2 }", "cpu stands without memory_gb", "1:1"),
            ("{ memory_gb = 2 }", "memory_gb stands without cpu", "1:1"),
            ("{ cpu = 2", "unexpected end of file", "1:10"),
            ("3", "the document is a Number, and has to be a Record", "1:1"),
            ("{ cpu = cpu, memory_gb = 4 }", "infinite recursion", "1:9"),
        ] {
            let message = spec(text).unwrap_err();
            assert!(message.starts_with(wrong), "{text}: {message}");
            assert!(message.contains(&format!("┌─ x.ncl:{place}\n")), "{text}: {message}");
            assert!(!message.contains("__") && !message.contains("let schema"), "{text}: {message}");
        }
    }

    fn check(documents: &[Document]) -> Vec<Checked> {
        let said = RefCell::new(Vec::new());
        let say = |answer: &Answer| {
            if let Answer::Checked(_, checked) = answer {
                said.borrow_mut().push(checked.clone());
            }
        };
        evaluate(documents, &say, || ());
        said.into_inner()
    }

    fn checked(contract: Contract, text: &str) -> Checked {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("x.ncl"), text).unwrap();
        check(&[Document::file(directory.path(), "x.ncl", "", contract)]).remove(0)
    }

    /// What the document says, or all that is wrong with it.
    fn evaluated(contract: Contract, text: &str) -> Result<Evaluated, String> {
        let Checked { value, diagnostics, .. } = checked(contract, text);
        let excerpts: Vec<String> = diagnostics.into_iter().map(|diagnostic| diagnostic.excerpt).collect();
        value.ok_or(excerpts.join("\n\n"))
    }

    /// Place, path and rule of everything that is wrong.
    fn faults(contract: Contract, text: &str) -> Vec<String> {
        let told = |diagnostic: Diagnostic| {
            let Diagnostic { line, column, rule, path, .. } = diagnostic;
            format!("{line}:{column} {rule:?} {}", path.unwrap_or_default())
        };
        checked(contract, text).diagnostics.into_iter().map(told).collect()
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let text = r#"{
  workspac = "shop",
  schema_version = 1,
  artifact = {
    image = "r.example/a b",
    pusch = true,
    pull = "yes",
    outputs = [{ type = 'tarr, dest = "../x", size = 1 }],
    build_args = { "a=b" = "1", c = 2 },
  },
  compute_provider = ['hclod, 'hcloud { locaton = "fsn1" }],
  runner_override = { cpu = 2, time_budget_min = 0 },
}"#;
        let expected = [
            "2:3 UnknownField workspac",
            "5:13 Value artifact.image[0]",
            "6:5 UnknownField artifact.pusch",
            "7:12 Type artifact.pull",
            "8:25 Value artifact.outputs[0].type",
            "8:39 Value artifact.outputs[0].dest",
            "8:47 UnknownField artifact.outputs[0].size",
            r#"9:20 Value artifact.build_args."a=b""#,
            "9:37 Type artifact.build_args.c",
            "11:23 Value compute_provider[0]",
            "11:41 UnknownField compute_provider[1].options.locaton",
            "12:21 Together runner_override",
            "12:50 Value runner_override.time_budget_min",
        ];
        let mut all = faults(Contract::Directives, text);
        all.retain(|fault| !fault.starts_with("1:1 MissingField"));
        assert_eq!(all, expected);
    }

    #[test]
    fn what_is_not_wrong_is_seen_beside_what_is() {
        let text = r#"{
  workspac = "shop",
  artifact = { image = ["a:${sha}", "b c"], context = "x", pusch = true, outputs = [{ type = 'tarr, dest = "y" }] },
  runner_override = { runner_type = "big", cpu = "4", memory_gb = 2.5 },
  cache_policy.actor = 'ci,
}"#;
        let Partial { value, places } = checked(Contract::Directives, text).partial;
        for (pointer, seen) in [
            // As the field that was meant.
            ("/workspace", "shop".into()),
            ("/artifact/image", serde_json::json!(["a:${sha}", null])),
            ("/artifact/context", "x".into()),
            ("/artifact/push", true.into()),
            ("/artifact/outputs/0", serde_json::json!({ "type": null, "dest": "y", "attrs": {} })),
            ("/runner_override", serde_json::json!({ "runner_type": "big", "cpu": null, "memory_gb": 2.5 })),
            ("/cache_policy/actor", "ci".into()),
        ] {
            assert_eq!(value.pointer(pointer), Some(&seen), "{pointer}");
        }
        let place = |path: &str| places.get(path).map(ToString::to_string);
        assert_eq!(place("artifact.image[0]").as_deref(), Some("x.ncl:3:25"));
        assert_eq!(place("runner_override.runner_type").as_deref(), Some("x.ncl:4:23"));
        assert_eq!(checked(Contract::Directives, "{ cpu = ").partial, Partial::default());
    }

    #[test]
    fn what_was_misspelled_is_not_missing_besides() {
        let text = "{ workspac = \"shop\" }";
        assert_eq!(faults(Contract::Directives, text), ["1:1 MissingField cache_policy", "1:3 UnknownField workspac"]);
        assert_eq!(
            faults(Contract::BuildSpec, "{ cpu = 0, memroy_gb = 4 }"),
            ["1:9 Value cpu", "1:12 UnknownField memroy_gb"]
        );
    }

    #[test]
    fn a_field_that_a_function_of_ours_has_moved_has_its_place() {
        let text =
            "let D = import \"lian/defaults/build_directives.ncl\" in\nD.make_session_build {\n  workspace = \"shop\",
  user = \"jpl\",\n  artifact = { network = 'host },\n  disposition = 'x,\n}";
        let expected = ["4:3 UnknownField user", "5:26 Value artifact.network", "6:17 Value cache_policy.disposition"];
        assert_eq!(faults(Contract::Directives, text), expected);
    }

    #[test]
    fn a_misspelled_word_of_a_session_is_told_what_was_meant() {
        let import = "let D = import \"lian/defaults/build_directives.ncl\" in";
        for (function, word, meant) in [
            ("make_session_build", "actor_di", "did you mean `actor_id`?"),
            ("make_agent_build", "dispositoin", "did you mean `disposition`?"),
            ("make_session_build", "namespace", "did you mean `namespaces`?"),
            ("make_ci_build", "actor_di", "unknown field `actor_di`"),
        ] {
            let text = format!("{import} D.{function} {{ workspace = \"shop\", {word} = \"x\" }}");
            let diagnostics = checked(Contract::Directives, &text).diagnostics;
            let messages: Vec<_> = diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
            assert!(messages.len() == 1 && messages[0].ends_with(meant), "{function} {word}: {messages:?}");
        }
    }

    #[test]
    fn a_field_that_another_needs_cannot_be_taken_out_but_is_told() {
        let text = "{ size = 0, cpu = size, memory_gb = 4 }";
        assert_eq!(faults(Contract::BuildSpec, text), ["1:3 UnknownField size"]);
    }

    /// Evaluated, and written again from the types that take it.
    fn directives(text: &str) -> serde_json::Value {
        let value = evaluated(Contract::Directives, text).unwrap_or_else(|message| panic!("{text}: {message}")).value;
        let typed: DirectivesFile = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&typed).unwrap(), value, "{text}");
        value
    }

    #[test]
    fn the_functions_fill_in_who_builds() {
        let import = "let D = import \"lian/defaults/build_directives.ncl\" in ";
        for (call, policy) in [
            ("D.make_ci_build {", serde_json::json!({"actor": "ci", "disposition": "export", "namespaces": {}})),
            (
                "D.make_session_build { actor_id = \"jpl\", disposition = 'rollback,",
                serde_json::json!({"actor": "human", "actor_id": "jpl", "disposition": "rollback", "namespaces": {}}),
            ),
            ("D.make_agent_build {", serde_json::json!({"actor": "agent", "disposition": "discard", "namespaces": {}})),
            (
                "D.make_ci_build { cache_policy = D.ci_aux_cache_policy,",
                serde_json::json!({"actor": "ci_aux", "disposition": "export", "namespaces": {}}),
            ),
        ] {
            let value = directives(&format!("{import} {call} workspace = \"shop\" }}"));
            assert_eq!(value["cache_policy"], policy, "{call}");
            assert_eq!((&value["workspace"], &value["artifact"]["push"]), (&"shop".into(), &true.into()), "{call}");
        }
    }

    #[test]
    fn a_variant_is_a_tag_or_has_options() {
        let with = |provider: &str| {
            directives(&format!(
                "{{ workspace = \"x\", cache_policy = {{ actor = 'ci }}, compute_provider = {provider} }}"
            ))["compute_provider"]
                .clone()
        };
        let plain = serde_json::json!([{"kind": "local", "options": {}}]);
        for written in ["'local", "\"local\"", "{ kind = 'local }", "['local]", "[{ kind = \"local\", options = {} }]"]
        {
            assert_eq!(with(written), plain, "{written}");
        }
        let located = serde_json::json!([
            {"kind": "hcloud", "options": {"location": "fsn1"}}, {"kind": "docker_local", "options": {"image": "a:b"}}
        ]);
        let written = "['hcloud { location = \"fsn1\" }, { kind = 'docker_local, options.image = \"a:b\" }]";
        assert_eq!(with(written), located);
    }

    #[test]
    fn a_policy_has_its_defaults_from_the_schema() {
        let value = evaluated(Contract::Policy, "{}").unwrap().value;
        assert_eq!(value, serde_json::to_value(Policy::default()).unwrap());
        let said = "{ caps = { concurrent_leases = 2, cost_per_day.amount = 5 }, secrets.token = { env = \"T\", actors = ['ci] } }";
        let value = evaluated(Contract::Policy, said).unwrap().value;
        let policy: Policy = serde_json::from_value(value).unwrap();
        assert_eq!(policy.caps.concurrent_leases, Some(2));
        assert_eq!(policy.caps.cost_per_day.map(|money| money.currency), Some("EUR".to_owned()));
        assert_eq!(policy.secrets["token"].env.as_deref(), Some("T"));
    }

    #[test]
    fn the_defaults_keep_their_contracts() {
        let documents = [("defaults/tiers.ncl", Contract::Tiers), ("defaults/languages.ncl", Contract::Languages)];
        let documents = documents.map(|(name, contract)| Document::embedded(name, contract));
        let values: Vec<_> = check(&documents).into_iter().filter_map(|checked| checked.value).collect();
        assert_eq!(values.len(), 2);
    }
}
